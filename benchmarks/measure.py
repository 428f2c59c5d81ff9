"""Commands run and measured: time, and the memory of the largest process."""

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compare import peak
from reviews.errors import UserError
from reviews.runtime.processor import processor_name


@dataclass(frozen=True)
class Usage:
    """Resources that a command used."""

    seconds: float
    cpu_s: float  # of all its processes together
    peak_mb: float  # resident memory of its largest process, in units of 1e6 bytes
    output: str = ""


def measure(
    command: Sequence[str], cores: Collection[int] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Usage:
    """Run a command to its end, on the given cores (default: all that there are).

    Raises UserError with the end of its output if it fails.
    """
    cores = cores or os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        file = Path(folder) / "peak"
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", peak.__file__, str(file), *command],
            stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        # wait4 tells the time of this child and its own children, and of no other.
        try:
            _, ended, used = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(ended)
        output.seek(0)
        text = output.read().decode(errors="replace")
        status, peak_kib = process.returncode, 0
        if not status:
            status, peak_kib = map(int, file.read_text("ascii").split())
        if status:
            tail = text.strip()[-500:]
            raise UserError(f"{' '.join(command[:4])} ... failed ({status}): {tail}")
    cpu_s = used.ru_utime + used.ru_stime
    return Usage(seconds, cpu_s, peak_kib * 1024 / 1e6, text)


def output_of(command: Sequence[str]) -> str:
    """Standard output of a command; UserError with the end of its errors if it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{' '.join(command[:5])} ... failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def machine() -> str:
    """The machine in one line."""
    return (f"{processor_name()}, {len(os.sched_getaffinity(0))} cores, "
            f"Python {platform.python_version()}")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Text in columns: the first to the left, numbers to the right."""
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                  for i, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )
