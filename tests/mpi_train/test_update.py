"""Updates that are refused or skipped, and the checkpoint of a run that ends between two."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpi_train.__main__ import main
from mpi_train.backward import BackPropagation
from mpi_train.checkpoint import last_checkpoint
from reviews.bundle import read_bundle
from reviews.store import Store
from tests.mpi_train.runs import arguments, difference, records, train
from tests.stores import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("runs") / "store",
                      {"train": 600, "validation": 80}, length=16, vocabulary=60)


def test_a_checkpoint_at_the_end_of_max_steps_knows_the_best_accuracy(
    store: Store, tmp_path: Path
) -> None:
    run = train(store, tmp_path / "run", max_steps=13)  # inside the second epoch
    checkpoint = last_checkpoint(run)
    assert checkpoint is not None
    accuracies = [epoch["validation"]["accuracy"] for epoch in records(run, "epoch")]
    assert len(accuracies) == 2
    assert checkpoint.state.step == 13
    assert checkpoint.state.highest == max(accuracies)
    assert checkpoint.state.epoch.reviews == 3 * 64


def test_a_gradient_that_is_no_number_changes_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    back_propagate = BackPropagation.run

    def poisoned(self: BackPropagation, batch: Any, part: Any, place: Any, *rest: Any) -> Any:
        loss = back_propagate(self, batch, part, place, *rest)
        if place == (0, 5):
            next(self._model.parameters()).grad.view(-1)[3] = np.inf
        return loss

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(BackPropagation, "run", poisoned)
        assert main(arguments(store, run, checkpoint_every=1)) == 3
    reason = ("the gradient of epoch 1, update 6 is not finite on rank 0: "
              "stopped before the update")
    assert reason in capsys.readouterr().out
    assert [record["reason"] for record in records(run, "failure")] == [reason]
    checkpoint = last_checkpoint(run)
    assert checkpoint is not None and checkpoint.state.step == 5
    assert all(bool(value.isfinite().all()) for value in checkpoint.tensors["weights"].values())
    assert main(["--out", str(run), "--resume"]) == 0
    whole = train(store, tmp_path / "whole")
    assert difference(read_bundle(whole).weights, read_bundle(run).weights) == 0


def test_an_update_whose_reviews_have_no_weight_makes_no_step(
    store: Store, tmp_path: Path
) -> None:
    run = train(store, tmp_path / "run", loss="cross-entropy", class_weights="0,1", batch_size=2,
                max_steps=40)
    skipped = [step for step in records(run, "step") if step["skipped"]]
    assert 0 < len(skipped) < 40
    assert {step["loss"] for step in skipped} == {0.0}
    assert json.loads((run / "summary.json").read_text())["skipped_updates"] == len(skipped)
