"""`train --noise-scale`: right where it is known, the same over any exchange, no disturbance."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.nets.dropout import DropoutRandom
from models.nets.load_model import load_model
from mpi_train.__main__ import main
from mpi_train.configuration.groups import LossOptions
from mpi_train.data import BatchReader
from mpi_train.optimization.losses import Loss
from reviews.bundle import read_bundle
from reviews.errors import UserError
from reviews.run_folder import noise_line
from reviews.store import Store
from tests.mpi_train.runs import arguments, difference, losses, records, train, train_on_ranks
from tests.stores import make_store

ROWS = 2048
# Word vectors with dense gradients, a table with those of its rows; weights stand still.
STILL = {"ngrams": 2, "buckets": 300, "ngram_dim": 4, "embedding_dim": 4, "hidden_dim": 4,
         "dropout": 0.0, "word_dropout": 0.0, "learning_rate": 1e-30, "ngram_rate": 1e-30,
         "schedule": "constant", "keep": "last", "noise_scale": True}
LEARNS = {**STILL, "learning_rate": 1e-2, "ngram_rate": 0.1, "dropout": 0.3, "clip_norm": 0.5,
          "epochs": 1, "batch_size": 256}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("noise") / "store",
                      {"train": ROWS, "validation": 20}, length=12)


@pytest.fixture(scope="module")
def runs(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one start of three unequal ranks."""
    folder = tmp_path_factory.mktemp("runs")
    still = {**STILL, "batch_size": 512, "epochs": 24, "evaluate_every": 100}
    backends = [arguments(store, folder / backend, backend=backend, shares="5,2,1", **LEARNS)
                for backend in ("shm", "gloo", "mpi")]
    train_on_ranks(3, [
        arguments(store, folder / "still", shares="5,2,1", **still), *backends,
        arguments(store, folder / "plain", backend="shm", shares="5,2,1",
                  **{**LEARNS, "noise_scale": False})])
    return folder


def known_scale(store: Store, run: Path) -> float:
    """tr(S) / |G|^2 from the gradients of all training reviews, one by one."""
    model = load_model(read_bundle(run)).train()
    loss = Loss.of(LossOptions())
    batch = BatchReader(store, "train", ROWS, 0, 64).batch(0, 0)
    total, squares = torch.zeros(0), 0.0
    for position in range(ROWS):
        row = batch.take(position, position + 1)
        model.zero_grad()
        model.ngrams.table.parts.clear()
        draws = DropoutRandom.of(0, 0, 0, torch.tensor([position]))
        logits = model(torch.from_numpy(row.tokens.astype(np.int32)),
                       torch.from_numpy(row.lengths), draws=draws)
        loss.sum(logits, torch.from_numpy(row.labels)).backward()
        table = torch.zeros_like(model.ngrams.table.weight)
        for rows, values in model.ngrams.table.parts:
            table[rows] += values
        gradient = torch.cat([table.ravel(), *(
            p.grad.ravel() for p in model.parameters() if p.grad is not None)]).double()
        total = gradient if not position else total + gradient
        squares += float(gradient.square().sum())
    of_mean, of_one = float((total / ROWS).square().sum()), squares / ROWS
    norm = (ROWS * of_mean - of_one) / (ROWS - 1)
    return (of_one - norm) / norm


def noises(run: Path) -> list[dict[str, Any]]:
    return [step["noise"] for step in records(run, "step") if "noise" in step]


def test_the_scale_is_right_where_it_is_known(store: Store, runs: Path) -> None:
    found = noises(runs / "still")
    assert len(found) == 24 * 2  # every second update of 512 reviews
    scale = (np.mean([noise["trace"] for noise in found])
             / np.mean([noise["squared_norm"] for noise in found]))
    assert scale == pytest.approx(known_scale(store, runs / "still"), rel=0.1)


def test_every_exchange_measures_the_same(runs: Path) -> None:
    shm, gloo, mpi = (noises(runs / backend) for backend in ("shm", "gloo", "mpi"))
    assert len(shm) == 2
    for one, other in zip(shm * 2, gloo + mpi, strict=True):
        assert other == pytest.approx(one, rel=1e-3)


def test_the_training_is_the_same_to_the_last_bit(runs: Path) -> None:
    measured, plain = runs / "shm", runs / "plain"
    assert losses(measured) == losses(plain)
    assert difference(read_bundle(measured).weights, read_bundle(plain).weights) == 0
    assert noises(plain) == []
    assert "noise_scale" not in json.loads((plain / "summary.json").read_text())
    assert "noise_scale" not in records(plain, "epoch")[0]


def test_a_resumed_run_has_the_figures_of_an_uninterrupted_one(
    store: Store, tmp_path: Path
) -> None:
    options = {**LEARNS, "batch_size": 512, "epochs": 2}
    train(store, tmp_path / "whole", **options)
    train(store, tmp_path / "cut", max_steps=3, **options)
    assert main(["--out", str(tmp_path / "cut"), "--resume", "--max-steps", "8"]) == 0
    assert noises(tmp_path / "cut") == noises(tmp_path / "whole")
    last = [records(tmp_path / name, "epoch")[-1]["noise_scale"] for name in ("whole", "cut")]
    assert last[0] == last[1]
    assert last[0]["updates"] == 2
    summary = json.loads((tmp_path / "cut" / "summary.json").read_text())
    assert summary["noise_scale"] == last[0]
    assert noise_line(last[0]) in (tmp_path / "cut" / "log.txt").read_text()


def test_a_sharded_model_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--noise-scale is for --parallel data"):
        train(store, tmp_path / "run", parallel="fsdp", noise_scale=True, balance="equal")
