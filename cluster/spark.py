"""A Spark of its own on this machine: one Master and some Workers, on loopback alone.

    reviewmill cluster spark start [--workers 2]     prints the address for --spark-master
    reviewmill cluster spark stop
"""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from reviews.errors import EngineError, UserError
from reviews.options import make_parser
from reviews.runtime.spark import QUICK_JAVA
from reviews.storage.folders import write_atomically

HOST = "127.0.0.1"
START_SECONDS = 90
STOP_SECONDS = 20
MASTER, WORKER = (f"org.apache.spark.deploy.{kind}" for kind in ("master.Master", "worker.Worker"))
STATE = "processes.json"


class Process(NamedTuple):
    """A process, and not another that got its number later."""

    number: int
    start: int | None

    @classmethod
    def of(cls, number: int) -> "Process":
        """The process that has this number now."""
        return cls(number, _start_of(number))

    def is_running(self) -> bool:
        """True when it has not ended."""
        return self.start is not None and _start_of(self.number) == self.start

    def await_end(self, seconds: float) -> None:
        """Wait until it has ended, for so long at most."""
        deadline = time.monotonic() + seconds
        while self.is_running() and time.monotonic() < deadline:
            time.sleep(0.05)


class LocalSpark:
    """A standalone cluster whose state and logs lie in a folder.

    As a context manager it is stopped at the end.
    """

    def __init__(self, folder: Path, workers: int = 2, memory: str = "2g") -> None:
        self.folder, self.workers, self.memory = folder.resolve(), workers, memory

    def start(self) -> str:
        """Start the Master and the Workers, one core each; return the address of the cluster."""
        if self.running():
            raise UserError(f"a Spark of {self.folder} is running: stop it first")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        port = _free_port()
        address = f"spark://{HOST}:{port}"
        try:
            self._spawn("master", MASTER, "--host", HOST, "--port", str(port),
                        "--webui-port", "0")
            self._await("master", f"Starting Spark master at {address}")
            for number in range(self.workers):
                name = f"worker-{number}"
                self._spawn(name, WORKER, "--host", HOST, "--cores", "1", "--memory", self.memory,
                            "--webui-port", "0", "--work-dir", str(self.folder / name), address)
            for number in range(self.workers):
                self._await(f"worker-{number}", "Successfully registered with master")
        except BaseException:
            self.stop()
            raise
        return address

    def stop(self) -> None:
        """End what `start` started: the Workers, then the Master."""
        for process in reversed(self._read().values()):
            for request in (signal.SIGTERM, signal.SIGKILL):
                if process.is_running():
                    os.kill(process.number, request)
                    process.await_end(STOP_SECONDS)
        (self.folder / STATE).unlink(missing_ok=True)

    def running(self) -> bool:
        """True when any process of this folder's cluster is there."""
        return any(process.is_running() for process in self._read().values())

    def __enter__(self) -> str:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _spawn(self, name: str, main: str, *arguments: str) -> None:
        environment = {**os.environ, "SPARK_LOCAL_IP": HOST, "SPARK_DAEMON_MEMORY": "256m",
                       "SPARK_DAEMON_JAVA_OPTS": QUICK_JAVA}
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen(
                [_spark_class(), main, *arguments], env=environment, cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        state = {**self._read(), name: Process.of(process.pid)}
        write_atomically(self.folder / STATE, json.dumps(state).encode())

    def _read(self) -> dict[str, Process]:
        file = self.folder / STATE
        known = json.loads(file.read_bytes()) if file.is_file() else {}
        return {name: Process(*numbers) for name, numbers in known.items()}

    def _await(self, name: str, sign: str) -> None:
        """Wait until a process has said that it is ready."""
        log, deadline = self.folder / f"{name}.log", time.monotonic() + START_SECONDS
        while True:
            # Asked before the log is read: what a process said at its very end is in it then.
            hopeless = not self._read()[name].is_running() or time.monotonic() > deadline
            said = log.read_text(errors="replace")
            if sign in said:
                return
            if hopeless:
                last = " ".join(said.split("\n")[-3:]).strip()
                raise EngineError(f"Spark did not start; {log} ends in: {last}")
            time.sleep(0.1)


def _spark_class() -> str:
    if not shutil.which("java"):
        raise UserError("Spark needs Java 17 or 11, and there is no `java` on the PATH")
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise UserError("pyspark is not installed; pip install 'reviewmill[spark]'")
    return str(Path(spec.origin).with_name("bin") / "spark-class")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


def _start_of(process: int) -> int | None:
    """Start of a process, in the kernel's ticks; None if it has ended."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process, os.WNOHANG)  # our own child: collect it
    try:
        # After the name, which may hold spaces: the 3rd field, and the 22nd.
        state, *fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else int(fields[18])


def main(argv: Sequence[str]) -> int:
    """`reviewmill cluster spark start | stop`; return the exit status."""
    parser = make_parser("reviewmill cluster spark", "A Spark cluster on this machine alone.")
    actions = parser.add_subparsers(dest="action", metavar="start|stop", required=True)
    top = Path(os.environ.get("REVIEWMILL_CACHE") or Path.home() / ".cache" / "reviewmill")
    start = actions.add_parser("start", help="start one, and print its address")
    start.add_argument("--workers", type=int, default=2, help="one core each (default: 2)")
    start.add_argument("--memory", default="2g", help="of each worker (default: 2g)")
    for action in (start, actions.add_parser("stop", help="end it")):
        action.add_argument("--folder", type=Path, default=top / "spark", help="logs and state")
    options = parser.parse_args(argv)
    if options.action == "start":
        if options.workers < 1:
            raise UserError(f"--workers is {options.workers}: give 1 or more")
        print(LocalSpark(options.folder, options.workers, options.memory).start())
        return 0
    spark = LocalSpark(options.folder)
    if not spark.running():
        raise UserError(f"no Spark of {options.folder} is running")
    spark.stop()
    return 0
