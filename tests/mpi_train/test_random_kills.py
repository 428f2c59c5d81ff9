"""At any moment a process of a run is killed, asked to end, or stopped for a while."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reviews.store import Store
from tests.mpi_train.ranks import ROOT
from tests.mpi_train.runs import arguments, losses, records
from tests.mpi_train.test_kill import processes_about
from tests.stores import make_store

LIMIT_S = 90  # three times what is promised
LATEST_S = 15.0  # after the start; a run takes about as long
BACKENDS = ("shm", "gloo", "mpi")
OPTIONS = {"epochs": 8, "keep": "last", "checkpoint_every": 7, "balance": "equal"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("kills") / "store", {"train": 600, "validation": 20},
                      length=16)


def command(store: Store, out: Path, backend: str) -> list[str]:
    """The same line starts a run and goes on with it."""
    return [sys.executable, "-m", "reviewmill", "train", str(store.path),
            *arguments(store, out, backend=backend, **OPTIONS)[1:], "--ranks", "2", "--resume"]


@pytest.fixture(scope="module")
def whole() -> dict[str, list[float]]:
    """Losses of runs that nobody disturbed, by backend; made when they are asked for."""
    return {}


def run_whole(store: Store, out: Path, backend: str) -> None:
    ended = subprocess.run(command(store, out, backend), capture_output=True, text=True, cwd=ROOT,
                           timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert ended.returncode == 0, ended.stderr


def pids_about(out: Path) -> list[int]:
    """Processes that name the run folder: the command, mpirun and the ranks."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if f"--out={out}".encode() in line.split(b"\0"):
            found.append(int(folder.name))
    return found


def disturb(out: Path, draws: random.Random) -> str:
    """One random thing to a random process of the run; returns what it was."""
    victims = pids_about(out)
    if not victims:
        return "nothing"
    victim = draws.choice(victims)
    what = draws.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
    try:
        os.kill(victim, what)
        if what == signal.SIGSTOP:
            time.sleep(draws.uniform(0.1, 3.0))  # how long it is stopped, no waiting for anything
            os.kill(victim, signal.SIGCONT)
    except ProcessLookupError:
        return "nothing"
    return f"{what.name} to {victim} of {victims}"


def try_one(backend: str, seed: int, store: Store, whole: dict[str, list[float]],
            folder: Path) -> None:
    if backend not in whole:
        run_whole(store, folder / "whole", backend)
        whole[backend] = losses(folder / "whole")
    draws, out = random.Random(f"{backend} {seed}"), folder / "run"
    process = subprocess.Popen(
        command(store, out, backend), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        process.communicate(timeout=draws.uniform(0, LATEST_S))
        done = "nothing: it had ended"
    except subprocess.TimeoutExpired:
        done = disturb(out, draws)
    try:
        said, _ = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    limit = time.monotonic() + LIMIT_S
    while processes_about(out):
        assert time.monotonic() < limit, (done, said, processes_about(out))
        time.sleep(0.1)
    run_whole(store, out, backend)  # goes on from wherever it was
    assert losses(out) == pytest.approx(whole[backend], rel=1e-6), done
    assert [step["step"] for step in records(out, "step")] == list(
        range(1, len(whole[backend]) + 1)), done


def test_a_run_ends_and_goes_on_exactly_whatever_happens(
    store: Store, whole: dict[str, list[float]], tmp_path: Path
) -> None:
    try_one("shm", 0, store, whole, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1, 68))
@pytest.mark.parametrize("backend", BACKENDS)
def test_so_it_does_at_200_moments(
    backend: str, seed: int, store: Store, whole: dict[str, list[float]], tmp_path: Path
) -> None:
    try_one(backend, seed, store, whole, tmp_path)
