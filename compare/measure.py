"""Commands in processes of their own, with the memory that they take."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compare import peak


class CommandFailed(Exception):
    """A command that ended with another status than 0; with the last line it wrote."""


@dataclass(frozen=True)
class Done:
    """The last line that a command wrote, and bytes of resident memory at the peak of the largest
    of its processes."""

    last_line: str
    peak_bytes: int


def run_measured(command: Sequence[str], log: Path) -> Done:
    """Run a command with its output appended to a log; CommandFailed unless it ends well.

    What ends the wait for it, be it Ctrl-C or a kill, ends the command too.
    """
    with tempfile.TemporaryDirectory() as folder, open(log, "ab") as output:
        first, found = output.tell(), Path(folder) / "peak"
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", peak.__file__, str(found), *command],
            stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.PIPE)
        try:
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


def _last_line(log: Path, first: int) -> str:
    """The last line with text of a file, from a byte on; empty where there is none."""
    with open(log, "rb") as written:
        written.seek(first)
        lines = [line.strip() for line in written.read().decode(errors="replace").split("\n")]
    return next((line for line in reversed(lines) if line), "")
