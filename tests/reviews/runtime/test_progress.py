"""Progress of a job: a line with the time left on a terminal, one a minute in a log."""

import io
import multiprocessing
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from reviews.runtime.progress import CLEAR, Progress, left
from tests.mapreduce.corpus import make_reviews, write_reviews


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def a_job_of_ten_minutes(out: io.StringIO) -> None:
    """One piece of 600 each second."""
    clock = Clock()
    meter = Progress(out, clock)
    meter.begin("gather", 600)
    meter.show()
    for _ in range(600):
        clock.now += 1
        meter.add(1)
    meter.end()


def test_a_terminal_has_one_line_that_changes() -> None:
    out = Terminal()
    a_job_of_ten_minutes(out)
    shown = out.getvalue().split(CLEAR)[1:]
    assert len(shown) == 602 and "\n" not in out.getvalue()
    assert shown[0] == "prepare: gather: 0%"
    assert shown[60] == "prepare: gather: 10%, 9 min 00 s left"
    # The size of compressed input is a guess, so the end is never told too early.
    assert shown[600].startswith("prepare: gather: 99%, ") and shown[601] == ""


def test_a_log_has_a_line_a_minute() -> None:
    out = io.StringIO()
    a_job_of_ten_minutes(out)
    lines = out.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[4] == "prepare: gather: 50%, 5 min 00 s left"


@pytest.mark.parametrize(
    ("part", "text"), [(0.5, "1 h 06 min"), (0.99, "40 s"), (0.9, "7 min 24 s")]
)
def test_the_time_left_is_written_for_a_person(part: float, text: str) -> None:
    assert left(0.0, 4000.0, part) == text


def test_what_forks_have_done_is_counted_and_shown_by_their_driver() -> None:
    out = Terminal()
    meter = Progress(out, Clock())
    meter.begin("count", 4)
    context = multiprocessing.get_context("fork")
    for _ in range(3):
        process = context.Process(target=meter.add, args=(1,))
        process.start()
        process.join()
    assert out.getvalue() == ""
    meter.show()
    assert out.getvalue() == f"{CLEAR}prepare: count: 75%, 0 s left"


def test_of_a_cluster_the_driver_tells_how_many_tasks_have_ended() -> None:
    out, clock = Terminal(), Clock()
    meter = Progress(out, clock)
    meter.begin("gather", 1_000_000)  # bytes, which nobody counts there
    clock.now += 30
    meter.tell(3, 12)
    assert out.getvalue() == f"{CLEAR}prepare: gather: 25%, 1 min 30 s left"


@pytest.mark.parametrize("runner", ["inline", "local"])
def test_prepare_shows_it_on_a_real_terminal_alone(runner: str, tmp_path: Path) -> None:
    path = write_reviews(tmp_path / "a.json", make_reviews(500))
    command = [sys.executable, "-m", "reviewmill", "prepare", path, "--runner", runner,
               "--overwrite", "--out", str(tmp_path / "store")]
    ours, theirs = pty.openpty()
    done = subprocess.run(command, stderr=theirs, stdout=subprocess.PIPE, timeout=120)
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    assert done.returncode == 0 and f"{CLEAR}prepare: gather: " in shown
    # Every line of a step is whole on the screen.
    assert f"{CLEAR}prepare: gather: 500 records read" in shown
    log = subprocess.run(command, capture_output=True, text=True, timeout=120).stderr
    assert CLEAR not in log and "%" not in log
