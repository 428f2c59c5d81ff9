"""A run that is killed goes on from its last whole checkpoint, to the very same weights."""

import signal
import subprocess
import sys
from pathlib import Path

from mpi_train.__main__ import main
from reviews.bundle import read_bundle
from tests.mpi_train.ranks import ROOT
from tests.mpi_train.runs import arguments, difference, losses, records, train
from tests.stores import make_store

EPOCHS = 20


def test_a_killed_run_is_resumed_to_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"train": 600, "validation": 20}, length=16)
    options = {"epochs": EPOCHS, "keep": "last", "word_dropout": 0.1}
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "mpi_train", *arguments(store, killed, **options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        # Its own words, as they come, tell how far it is.
        assert any(f"epoch 2/{EPOCHS}:" in line for line in process.stdout)
        process.kill()
    assert process.returncode == -signal.SIGKILL, "it must not have come to its end"
    assert not (killed / "summary.json").exists()

    assert main(["--out", str(killed), "--resume"]) == 0
    whole = train(store, tmp_path / "whole", **options)
    assert difference(read_bundle(whole).weights, read_bundle(killed).weights) == 0
    assert losses(killed) == losses(whole)
    assert [epoch["epoch"] for epoch in records(killed, "epoch")] == list(range(EPOCHS))
