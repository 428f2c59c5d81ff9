"""Commands in processes of their own, with the memory that they take."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from compare import peak
from reviews.runtime.progress import CLEAR, LOG_S, TERMINAL_S


class CommandFailed(Exception):
    """A command that ended with another status than 0; with the last line it wrote."""


@dataclass(frozen=True)
class Done:
    """The last line that a command wrote, and bytes of resident memory at the peak of the largest
    of its processes."""

    last_line: str
    peak_bytes: int


def run_measured(
    command: Sequence[str], log: Path, name: str = "", log_s: float = LOG_S
) -> Done:
    """Run a command with its output appended to a log; CommandFailed unless it ends well.

    With a name, the command's last line is shown behind it while the command runs: twice a second
    on a terminal, else every log_s seconds. What ends the wait for the command, be it Ctrl-C or a
    kill, ends the command too.
    """
    with tempfile.TemporaryDirectory() as folder, open(log, "ab") as output:
        first, found = output.tell(), Path(folder) / "peak"
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", peak.__file__, str(found), *command],
            stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.PIPE)
        try:
            if name and sys.stderr is not None:
                _show(process, lambda: f"{name}: {_last_line(log, first) or 'running'}",
                      sys.stderr, log_s)
            process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if process.returncode:
            raise CommandFailed(_last_line(log, first) or f"status {process.returncode}")
        status, peak_kib = map(int, found.read_text("ascii").split())
    last = _last_line(log, first)
    if status < 0:
        raise CommandFailed(f"ended by signal {-status}; its last line: {last}")
    if status:
        raise CommandFailed(last or f"ended with status {status}")
    return Done(last, peak_kib * 1024)


def _show(
    process: subprocess.Popen[bytes], line: Callable[[], str], out: TextIO, log_s: float
) -> None:
    """Show a line again and again until a process has ended."""
    terminal = out.isatty()
    try:
        while True:
            try:
                process.wait(TERMINAL_S if terminal else log_s)
                return
            except subprocess.TimeoutExpired:
                width = shutil.get_terminal_size().columns - 1
                out.write(CLEAR + line()[:width] if terminal else f"{line()}\n")
                out.flush()
    finally:
        if terminal:
            out.write(CLEAR)
            out.flush()


def _last_line(log: Path, first: int) -> str:
    """The last line with text of a file, from a byte on; empty where there is none."""
    with open(log, "rb") as written:
        written.seek(first)
        lines = [line.strip() for line in written.read().decode(errors="replace").split("\n")]
    return next((line for line in reversed(lines) if line), "")
