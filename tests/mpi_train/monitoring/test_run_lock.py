"""Run lock: one start writes into a run folder; a lock that nobody holds is no hindrance."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from mpi_train.__main__ import main
from mpi_train.exchange.watchdog import own_identity
from mpi_train.monitoring.run_lock import RunLock
from reviews.errors import UserError
from reviews.run_folder import LOCK
from tests.mpi_train.ranks import ROOT
from tests.mpi_train.runs import arguments, train
from tests.stores import make_store

HOLDS = """
import sys
from pathlib import Path
from mpi_train.monitoring.run_lock import RunLock
RunLock(Path(sys.argv[1]), "host").acquire()
print("held", flush=True)
sys.stdin.read()
"""


def holder(run: Path) -> subprocess.Popen[str]:
    """A process that holds the lock of a run folder, and never gives it back."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(run)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def of_elsewhere(run: Path, silent_s: float) -> None:
    """The lock of a process on another host, renewed so long ago."""
    run.mkdir(exist_ok=True)
    identity = replace(own_identity("far"), machine="another", pid=7)
    (run / LOCK).write_text(json.dumps(asdict(identity)))
    then = time.time() - silent_s
    os.utime(run / LOCK, (then, then))


def test_a_second_start_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    run = tmp_path / "run"
    first, second = RunLock(run, "host"), RunLock(run, "host")
    first.acquire()
    with pytest.raises(UserError, match=f"{run} is in use by process {os.getpid()} on host"):
        second.acquire()
    second.release()  # it holds nothing
    first.check()
    first.release()
    second.acquire()
    second.release()
    assert list(run.iterdir()) == []


def test_a_process_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    process = holder(tmp_path)
    lock = RunLock(tmp_path, "host")
    with pytest.raises(UserError, match=f"in use by process {process.pid} on host"):
        lock.acquire()
    process.kill()
    process.communicate()
    lock.acquire()
    lock.release()


def test_another_host_holds_it_as_long_as_it_renews_it(tmp_path: Path) -> None:
    lock = RunLock(tmp_path, "host")
    of_elsewhere(tmp_path, silent_s=30)
    with pytest.raises(UserError, match="in use by process 7 on far"):
        lock.acquire()
    of_elsewhere(tmp_path, silent_s=61)
    lock.acquire()
    lock.check()
    lock.release()


def test_who_holds_it_renews_it(tmp_path: Path) -> None:
    lock = RunLock(tmp_path, "host", renew_s=0.01)
    lock.acquire()
    os.utime(tmp_path / LOCK, (0, 0))
    limit = time.monotonic() + 60
    while (tmp_path / LOCK).stat().st_mtime == 0:
        assert time.monotonic() < limit
    lock.release()


def test_who_has_lost_it_is_told_and_leaves_it_to_the_other(tmp_path: Path) -> None:
    lost = RunLock(tmp_path, "host")
    lost.acquire()
    of_elsewhere(tmp_path, silent_s=0)
    with pytest.raises(UserError, match="was taken over by another start"):
        lost.check()
    lost.release()
    assert (tmp_path / LOCK).exists()


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_that_try_at_once_one_gets_it(tmp_path: Path, stale: bool) -> None:
    for number in range(20):
        run = tmp_path / str(number)
        run.mkdir()
        if stale:
            of_elsewhere(run, silent_s=100)
        locks = [RunLock(run, "host") for _ in range(4)]
        start, got = threading.Barrier(4), list[RunLock]()

        def acquire(
            lock: RunLock, start: threading.Barrier = start, got: list[RunLock] = got
        ) -> None:
            start.wait()
            try:
                lock.acquire()
            except UserError:
                return
            got.append(lock)

        threads = [threading.Thread(target=acquire, args=(lock,)) for lock in locks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 1
        got[0].release()


def test_train_refuses_a_folder_in_use_and_resumes_one_whose_run_was_killed(
    tmp_path: Path
) -> None:
    store = make_store(tmp_path / "store", {"train": 100, "validation": 20}, length=16)
    run = tmp_path / "run"
    process = holder(run)
    with pytest.raises(UserError, match=f"{run} is in use by process {process.pid}"):
        main(arguments(store, run))
    process.kill()
    process.communicate()
    train(store, run)  # the dead lock alone does not make the folder a used one
    assert not (run / LOCK).exists()


def test_a_resume_without_a_run_starts_one_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_store(tmp_path / "store", {"train": 100, "validation": 20}, length=16)
    line = [*arguments(store, tmp_path / "run"), "--resume"]
    assert main(line) == 0
    first = capsys.readouterr().out.splitlines()
    assert first[0] == (f"{tmp_path / 'run'} has no checkpoint to resume from: "
                        "the run starts with its first update")
    assert main(line) == 0  # the same line goes on
    assert "nothing is left to do" in capsys.readouterr().out


def test_a_run_folder_that_cannot_be_made_is_named() -> None:
    with pytest.raises(UserError, match="/proc/none/run cannot be written to"):
        RunLock(Path("/proc/none/run"), "host").acquire()
