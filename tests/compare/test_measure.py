"""Commands in processes of their own: memory, the last line, failures, ends."""

import io
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compare.measure import CommandFailed, run_measured
from reviews.runtime.progress import CLEAR

PYTHON = [sys.executable, "-c"]


def test_the_peak_of_memory_is_that_of_the_largest_process(tmp_path: Path) -> None:
    ours = bytearray(400_000_000)  # no part of it is the command's
    ours[::4096] = b"1" * len(ours[::4096])
    program = "a = bytearray(200_000_000); a[::4096] = b'1' * len(a[::4096]); print('done')"
    inner = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {program!r}])"
    for command in (program, inner):
        done = run_measured([*PYTHON, command], tmp_path / "log")
        assert done.last_line == "done"
        assert 200e6 < done.peak_bytes < 300e6


@pytest.mark.parametrize(("program", "reason"), [
    ("raise SystemExit('too small')", "too small"),
    ("1 / 0", "ZeroDivisionError: division by zero"),
    ("raise SystemExit(3)", "ended with status 3"),
    ("import os; print('so far', flush=True); os.kill(os.getpid(), 9)",
     "ended by signal 9; its last line: so far"),
])
def test_a_failure_gives_its_reason_in_a_line(tmp_path: Path, program: str, reason: str) -> None:
    log = tmp_path / "log"
    log.write_text("a line of an earlier command\n")
    with pytest.raises(CommandFailed) as failed:
        run_measured([*PYTHON, program], log)
    assert str(failed.value) == reason
    assert log.read_text().startswith("a line of an earlier command\n")


class Watched(io.StringIO):
    """Standard error that makes a file when it has been told of epoch 1."""

    def __init__(self, seen: Path, terminal: bool) -> None:
        super().__init__()
        self._seen, self._terminal = seen, terminal

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        if "epoch 1" in text:
            self._seen.touch()
        return super().write(text)


@pytest.mark.parametrize("terminal", [True, False])
def test_the_last_line_is_shown_while_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    seen = tmp_path / "seen"
    program = (f"import os, time\nprint('epoch 1', flush=True)\n"
               f"while not os.path.exists({str(seen)!r}): time.sleep(0.01)\nprint('done')")
    error = Watched(seen, terminal)
    monkeypatch.setattr(sys, "stderr", error)
    done = run_measured([*PYTHON, program], tmp_path / "log", "run 1 of 2", log_s=0.1)
    shown = error.getvalue()
    assert done.last_line == "done"
    assert ("run 1 of 2: epoch 1" if terminal else "run 1 of 2: epoch 1\n") in shown
    assert shown.endswith(CLEAR) if terminal else CLEAR not in shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_end_of_the_wait_ends_the_command(tmp_path: Path, number: int) -> None:
    inner = ("import os, time; "
             f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()) + '.'); "
             "time.sleep(600)")
    outer = ("from pathlib import Path; import sys; from compare.measure import run_measured; "
             f"run_measured([sys.executable, '-c', {inner!r}], Path({str(tmp_path / 'log')!r}))")
    process = subprocess.Popen([*PYTHON, outer], stderr=subprocess.DEVNULL)
    pid = tmp_path / "pid"
    while not (pid.is_file() and pid.read_text().endswith(".")):
        assert process.poll() is None
        time.sleep(0.05)
    command = os.pidfd_open(int(pid.read_text()[:-1]))
    process.send_signal(number)
    assert process.wait(60) != 0
    assert select.select([command], [], [], 60)[0]  # readable when the process has ended
