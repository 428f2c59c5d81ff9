"""Whenever a run is killed, no part of a store is readable, and the next run makes the same one."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reviews.errors import UserError
from reviews.generate import generate
from reviews.recipe import load_recipe
from reviews.storage.verify import verify_store
from reviews.store import Store
from tests.mapreduce.corpus import bytes_of, make_reviews, run, write_reviews
from tests.requirements import need

SOME, ALL = 5, 50


class Prepare:
    """Runs of `reviewmill prepare` on one corpus, and the store that an undisturbed one makes."""

    def __init__(self, folder: Path, reviews: int) -> None:
        need(Path("/proc/self/task").is_dir(), "needs Linux's /proc")
        self.out = folder / "store"
        self.files = list(map(str, generate(folder / "reviews.json.gz", reviews, files=4)))
        process = self.start()
        began = self.wait_until_it_writes(process)
        assert process.wait() == 0
        self.seconds = time.monotonic() - began
        self.expected = bytes_of(Store(self.out))

    def run_here(self) -> Store:
        """A run that is left alone."""
        return run(self.files, self.out, load_recipe(), overwrite=True)

    def start(self) -> subprocess.Popen[str]:
        """A run that can be killed."""
        command = [sys.executable, "-m", "reviewmill", "prepare", *self.files, "--overwrite",
                   "--runner", "local", "--workers", "2", "--out", str(self.out)]
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def wait_until_it_writes(self, process: subprocess.Popen[str]) -> float:
        """The moment at which the folder of the unfinished store is there."""
        partial = self.out.with_name(f".{self.out.name}.partial")
        while not partial.exists() and process.poll() is None:
            time.sleep(0.002)
        return time.monotonic()


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Prepare:
    return Prepare(tmp_path_factory.mktemp("few"), 2000)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Prepare:
    return Prepare(tmp_path_factory.mktemp("many"), 40_000)


def children_of(pid: int) -> list[int]:
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except (FileNotFoundError, ProcessLookupError):
        return []


def kill_at_a_random_moment(prepare: Prepare, number: int) -> None:
    """A run that is killed, over an old store or without one; then a run that is left alone."""
    rng = random.Random(number)
    out, partial = prepare.out, prepare.out.with_name(f".{prepare.out.name}.partial")
    if number % 3:
        shutil.rmtree(out)
    process = prepare.start()
    moment = prepare.wait_until_it_writes(process) + rng.uniform(0, prepare.seconds)
    while time.monotonic() < moment and process.poll() is None:
        time.sleep(0.001)
    tasks = children_of(process.pid)
    victim = rng.choice(tasks) if number % 2 and tasks else process.pid
    # A process that has just ended by itself takes no harm.
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    message = process.communicate(timeout=60)[1]
    if process.returncode > 0:
        assert process.returncode == 2 and "ended by signal 9" in message.splitlines()[-1], message
        assert not partial.exists()
    if process.returncode == 0 or out.exists():
        assert is_whole(prepare)
    prepare.run_here()
    assert is_whole(prepare) and not partial.exists()


def is_whole(prepare: Prepare) -> bool:
    store = Store(prepare.out)
    return not list(verify_store(store)) and bytes_of(store) == prepare.expected


@pytest.mark.parametrize("number", range(SOME))
def test_a_killed_run_leaves_nothing_that_looks_like_a_store(few: Prepare, number: int) -> None:
    kill_at_a_random_moment(few, number)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_fifty_killed_runs_leave_nothing_that_looks_like_a_store(many: Prepare) -> None:
    for number in range(ALL):
        kill_at_a_random_moment(many, number)


def test_an_old_store_that_was_just_moved_away_comes_back(tmp_path: Path) -> None:
    path = write_reviews(tmp_path / "reviews.json", make_reviews(200))
    before = bytes_of(run([path], tmp_path / "store"))
    (tmp_path / ".store.partial").mkdir()
    (tmp_path / "store").rename(tmp_path / ".store.partial" / "old")
    broken = write_reviews(tmp_path / "broken.json", [{"reviewText": "no rating"}] * 9)
    with pytest.raises(UserError):
        run([broken], tmp_path / "store", overwrite=True)
    assert bytes_of(Store(tmp_path / "store")) == before


def test_no_task_outlives_the_command(few: Prepare) -> None:
    process = few.start()
    few.wait_until_it_writes(process)
    while not (tasks := children_of(process.pid)) and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{task}").exists() for task in tasks):
        assert time.monotonic() < deadline, "a task goes on without its command"
        time.sleep(0.01)
