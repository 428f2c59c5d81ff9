"""Nodes by ssh: commands, folders there and back. Host keys are always checked."""

import io
import shlex
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cluster.gpu.up import Node
from reviews.errors import EngineError
from reviews.storage.folders import replace_folder

T = TypeVar("T")
LOST_SSH = 255
CONNECT_S = 10


@dataclass(frozen=True)
class Layout:
    """Paths and commands of a node, as bootstrap/gpu_node.sh makes them."""

    python: str = "/opt/reviewmill/bin/python"
    scratch: str = "/mnt/reviewmill"
    state: str = "/var/lib/reviewmill"
    heartbeat: str = "sudo -n /usr/local/sbin/reviewmill-heartbeat"


@dataclass(frozen=True)
class Remote:
    """Access to the nodes of a cluster.

    Attributes:
        folder: of the private key and known_hosts.
    """

    folder: Path
    user: str
    layout: Layout = Layout()

    def command(self, node: Node, *words: str) -> list[str]:
        """The command line of ssh."""
        options = {
            "BatchMode": "yes", "ConnectTimeout": str(CONNECT_S), "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes", "UserKnownHostsFile": self.folder / "known_hosts",
            "GlobalKnownHostsFile": "/dev/null", "ServerAliveInterval": "10",
            "ServerAliveCountMax": "3"}
        return ["ssh", "-F", "none", "-i", str(self.folder / "key"),
                *(word for name, value in options.items() for word in ("-o", f"{name}={value}")),
                f"{self.user}@{node.instance.public}", *words]

    def call(self, node: Node, script: str, limit_s: float, given: bytes = b""
             ) -> subprocess.CompletedProcess[bytes]:
        """Run a line of shell there; after the limit its status is that of a lost ssh."""
        line = self.command(node, script)
        try:
            return subprocess.run(line, input=given, capture_output=True, timeout=limit_s)
        except subprocess.TimeoutExpired as late:
            said = f"no answer for {limit_s:.0f} s".encode()
            return subprocess.CompletedProcess(line, LOST_SSH, late.stdout or b"", said)

    def need(self, node: Node, script: str, limit_s: float, given: bytes = b"") -> str:
        """Output of a line of shell there; EngineError, with its last line, where it fails."""
        done = self.call(node, script, limit_s, given)
        if done.returncode:
            said = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])
            raise EngineError(f"{node.instance.id} ({node.instance.public}): {said[-1]}")
        return done.stdout.decode(errors="replace")

    def put(self, node: Node, folder: Path, target: str, limit_s: float) -> None:
        """Copy a folder there; the target appears whole."""
        there = shlex.quote(target)
        script = (f"set -e; rm -rf {there}.part; mkdir -p {there}.part; tar -xf - -C {there}.part; "
                  f"rm -rf {there}; mv {there}.part {there}")
        packed = subprocess.Popen(["tar", "-cf", "-", "-C", str(folder), "."],
                                  stdout=subprocess.PIPE)
        try:
            done = subprocess.run(self.command(node, script), stdin=packed.stdout,
                                  capture_output=True, timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise EngineError(f"{node.instance.id}: {folder} was not copied in {limit_s:.0f} s"
                              ) from None
        finally:
            packed.kill()
            packed.communicate()
        if done.returncode:
            raise EngineError(f"{node.instance.id}: {folder} was not copied: "
                              f"{done.stderr.decode(errors='replace').strip()}")

    def put_files(self, node: Node, files: dict[str, bytes], folder: str) -> None:
        """Write small files into a folder there, for its user alone."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, data in files.items():
                (entry := tarfile.TarInfo(name)).size, entry.mode = len(data), 0o600
                archive.addfile(entry, io.BytesIO(data))
        self.need(node, f"umask 077; mkdir -p {folder} && tar -xf - -C {folder}", 60,
                  buffer.getvalue())

    def fetch(self, node: Node, source: str, folder: Path, limit_s: float) -> None:
        """Copy a folder from there in place of one here, which stays until all has come."""
        fresh = folder.with_name(f".{folder.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        sending = subprocess.Popen(
            self.command(node, f"tar -cf - -C {shlex.quote(source)} ."), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        limit = threading.Timer(limit_s, sending.kill)
        limit.start()
        broken = ""
        try:
            with tarfile.open(fileobj=sending.stdout, mode="r|") as archive:
                archive.extractall(fresh, filter="data")
        except (tarfile.TarError, OSError) as error:
            broken = str(error)
        finally:
            limit.cancel()
            _, said = sending.communicate()
        if broken or sending.returncode:
            shutil.rmtree(fresh)
            reason = said.decode(errors="replace").strip() or broken
            raise EngineError(f"{node.instance.id}: {source} was not fetched: {reason}")
        replace_folder(fresh, folder)


def on_all(nodes: Sequence[Node], work: Callable[[Node], T]) -> list[T]:
    """The results of some work for all nodes, at the same time."""
    with ThreadPoolExecutor(max(1, min(64, len(nodes)))) as pool:
        return list(pool.map(work, nodes))
