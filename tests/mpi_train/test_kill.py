"""A run that is killed or asked to end goes on from its last checkpoint, to the same weights."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mpi_train.__main__ import main
from reviews.bundle import read_bundle
from reviews.store import Store
from tests.mpi_train.ranks import ROOT
from tests.mpi_train.runs import (
    arguments,
    difference,
    losses,
    records,
    train,
    train_on_ranks,
)
from tests.stores import make_store

EPOCHS, UPDATES = 20, 10  # updates of an epoch
KINDS: dict[str, dict[str, Any]] = {
    "lstm": {"word_dropout": 0.1, "schedule": "cosine", "keep": "average", "clip_norm": 0.5},
    "cnn": {"model": "cnn", "filters": 5, "optimizer": "sgd", "keep": "last"},
    "bag": {"model": "bag", "buckets": 500, "ngrams": 3},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("kill") / "store", {"train": 600, "validation": 20},
                      length=16)


def options_of(kind: str) -> dict[str, Any]:
    return {"checkpoint_every": 1, "checkpoints_kept": 99, **KINDS[kind]}


def as_killed_after(run: Path, updates: int, copy: Path) -> Path:
    """A copy of a run's folder as a kill shortly after so many updates would have left it."""
    shutil.copytree(run, copy)
    for folder in (copy / "checkpoints").iterdir():
        if int(folder.name.removeprefix("step-")) > updates:
            shutil.rmtree(folder)
    (copy / "summary.json").unlink()
    shutil.rmtree(copy / "model")
    return copy


def same(one: Path, other: Path) -> None:
    assert difference(read_bundle(one).weights, read_bundle(other).weights) == 0
    assert read_bundle(one).model["validation"] == read_bundle(other).model["validation"]
    assert losses(one) == losses(other)
    told = [[{name: epoch[name] for name in ("epoch", "loss", "reviews", "validation")}
             for epoch in records(run, "epoch")] for run in (one, other)]
    assert told[0] == told[1]


@pytest.mark.parametrize("kind", KINDS)
def test_cut_after_any_update_a_run_ends_with_the_very_same_weights(
    kind: str, store: Store, tmp_path: Path
) -> None:
    # Before the first epoch ends: what was validated after the cut is validated again.
    whole = train(store, tmp_path / "whole", **options_of(kind))
    for cut in (1, 5, 9):
        parted = as_killed_after(whole, cut, tmp_path / str(cut))
        assert main(["--out", str(parted), "--resume"]) == 0
        same(parted, whole)


def test_so_does_a_run_on_two_ranks(store: Store, tmp_path: Path) -> None:
    """One start of two ranks for the whole runs, and one for those that go on."""
    shares = {"lstm": {"balance": "equal"}, "bag": {"shares": "3,1"}}
    train_on_ranks(2, [arguments(store, tmp_path / kind, **options_of(kind), **more)
                       for kind, more in shares.items()])
    parted = [as_killed_after(tmp_path / kind, cut, tmp_path / f"{kind}-{cut}")
              for kind in shares for cut in (3, 7)]
    train_on_ranks(2, [["--out", run, "--resume"] for run in parted])
    for run in parted:
        same(run, tmp_path / run.name.split("-")[0])


def start(store: Store, out: Path, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mpi_train", *arguments(store, out, **options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    """Its own words, as they come, tell how far a run is."""
    assert process.stdout is not None
    assert any(words in line for line in process.stdout), f"it ended without {words!r}"


def test_a_killed_run_is_resumed_to_the_weights_of_one_that_was_not(
    store: Store, tmp_path: Path
) -> None:
    options = {"epochs": EPOCHS, "keep": "last", "word_dropout": 0.1}
    killed = tmp_path / "killed"
    with start(store, killed, **options) as process:
        wait_for(process, f"epoch 2/{EPOCHS}:")
        process.kill()
    assert process.returncode == -signal.SIGKILL, "it must not have come to its end"
    assert not (killed / "summary.json").exists()

    assert main(["--out", str(killed), "--resume"]) == 0
    same(killed, train(store, tmp_path / "whole", **options))


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_end_a_run_writes_a_checkpoint_of_its_last_update(
    asked: signal.Signals, store: Store, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with start(store, out, epochs=400) as process:
        wait_for(process, "epoch 1/400:")
        process.send_signal(asked)
        wait_for(process, f"ended by {asked.name} after update")
    assert process.returncode == 128 + asked
    steps = records(out, "step")
    last = max((out / "checkpoints").iterdir())
    assert last.name == f"step-{len(steps):08d}"
    assert not (out / "summary.json").exists()
    assert main(["--out", str(out), "--resume", "--epochs", str(-(-len(steps) // UPDATES))]) == 0
    assert losses(out)[: len(steps)] == [step["loss"] for step in steps]


@pytest.mark.parametrize("asked, batch_size", [
    (signal.SIGINT, 64),
    (signal.SIGHUP, 64),
    (signal.SIGHUP, 1024),  # an epoch is one update, which is always its last one
    (signal.SIGTERM, 1024),
])
def test_asked_to_end_the_command_ends_all_ranks_with_a_checkpoint(
    asked: signal.Signals, batch_size: int, store: Store, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "reviewmill", "train", str(store.path),
               *arguments(store, out, epochs=4000, batch_size=batch_size)[1:], "--ranks", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        wait_for(process, "epoch 1/4000:")
        process.send_signal(asked)
        wait_for(process, "ended by SIGUSR1 after update")
    assert process.returncode == 128 + asked
    assert processes_about(out) == []
    steps = len(records(out, "step"))
    assert steps < 4000
    assert max((out / "checkpoints").iterdir()).name == f"step-{steps:08d}"


def processes_about(out: Path) -> list[str]:
    """Command lines of processes that name a run folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in found if f"--out={out}" in line]
