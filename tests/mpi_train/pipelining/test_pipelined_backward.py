"""`train --parallel model`: two groups of cores learn what one does, at the same time."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.nets import build
from models.nets.recurrent import Recurrent
from mpi_train.__main__ import main
from mpi_train.backward import BackPropagation
from mpi_train.configuration.config import TrainingConfig
from mpi_train.data import BatchReader
from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.gradient_buckets import GradientBuckets
from mpi_train.exchange.group import Group
from mpi_train.monitoring.phase_timer import PhaseTimer
from mpi_train.pipelining.pipelined_backward import PipelinedBackPropagation
from reviews.bundle import read_bundle
from reviews.errors import UserError
from reviews.store import Store
from tests.mpi_train.runs import (
    arguments,
    difference,
    losses,
    norm,
    train,
    train_on_ranks,
)
from tests.stores import make_store

CASES: dict[str, dict[str, Any]] = {
    "lstm": {"layers": 2, "bidirectional": True, "ngrams": 2, "buckets": 97, "ngram_dim": 4,
             "dropout": 0.3, "word_dropout": 0.1, "clip_norm": 0.05},
    "gru": {"pooling": "last", "loss": "cross-entropy"},
    "bilstm-attention": {"precision": "fp64", "keep": "average"},
}
# Weights are then the gradients of two updates, and what these begin with.
PLAIN = {"max_steps": 2, "optimizer": "sgd", "momentum": 0, "learning_rate": 0.1,
         "schedule": "constant", "keep": "last", "dropout": 0.3}

LIMITS = {"fp64": 1e-10, "fp32": 1e-5}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("groups") / "store",
                      {"train": 300, "validation": 40}, length=24)


def two_groups(store: Store, out: Path, **options: Any) -> Path:
    return train(store, out, **{"parallel": "model", "threads": 2, **options})


@pytest.mark.parametrize("model", CASES)
def test_the_training_is_that_of_one_group_to_the_last_bit(
    model: str, store: Store, tmp_path: Path
) -> None:
    options = {"model": model, "epochs": 1, **CASES[model]}
    one = train(store, tmp_path / "one", **options)
    two = two_groups(store, tmp_path / "two", **options)
    assert losses(two) == losses(one)
    assert difference(read_bundle(one).weights, read_bundle(two).weights) == 0


def test_rounded_weights_do_not_depend_on_who_is_first(store: Store, tmp_path: Path) -> None:
    options = {"model": "gru", "precision": "fp16", "epochs": 1}
    one = train(store, tmp_path / "one", **options)
    two, again = (two_groups(store, tmp_path / name, **options) for name in ("two", "again"))
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    assert difference(read_bundle(two).weights, read_bundle(again).weights) == 0


def test_ranks_of_two_groups_have_the_gradient_of_one_process(
    store: Store, tmp_path: Path
) -> None:
    more = {**PLAIN, "parallel": "model", "threads": 2}
    train_on_ranks(2, [line for precision in LIMITS for line in (
        arguments(store, tmp_path / f"{precision} dynamic", precision=precision, **more),
        arguments(store, tmp_path / f"{precision} gloo", precision=precision, backend="gloo",
                  shares="3,1", **more))])
    for precision, limit in LIMITS.items():
        options = {**PLAIN, "precision": precision}
        one = read_bundle(train(store, tmp_path / "one", overwrite=True, **options)).weights
        start = read_bundle(train(store, tmp_path / "start", overwrite=True, **{
            **options, "learning_rate": 1e-30})).weights
        moved = norm(one, start)
        assert moved > 1e-3
        for name in ("dynamic", "gloo"):
            found = read_bundle(tmp_path / f"{precision} {name}").weights
            assert norm(one, found) < limit * moved


def test_a_run_is_resumed_under_either(store: Store, tmp_path: Path) -> None:
    options = {"schedule": "constant", "epochs": 3, "keep": "last"}
    whole = train(store, tmp_path / "whole", **options)
    run = train(store, tmp_path / "run", **options, max_steps=3)
    line = ["--out", str(run), "--resume"]
    assert main([*line, "--max-steps=7", "--parallel=model", "--threads=2"]) == 0
    assert main([*line, "--max-steps=15", "--parallel=data", "--threads=1"]) == 0
    assert losses(run) == losses(whole)
    assert difference(read_bundle(whole).weights, read_bundle(run).weights) == 0


class Rank:
    """A rank of two groups of cores, and its gradient of a batch."""

    def __init__(self, store: Store, kind: type[BackPropagation]) -> None:
        config = TrainingConfig.of(embedding_dim=6, hidden_dim=5, batch_size=200,
                                   precision="fp64", micro_batch_tokens=256, dropout=0.3)
        torch.manual_seed(0)
        self.model = build(config.model_options(store)).double()
        self.batch = BatchReader(store, "train", 200, 0, 64).batch(0, 0)
        self.backward = kind(config, self.model, GradientBuckets(
            self.model, Group(Communicator())), torch.device("cpu"), PhaseTimer())

    def gradient(self) -> Tensor:
        assert self.backward.run(self.batch, (0, 200), (0, 0)) is not None
        return torch.cat([p.grad.flatten() for p in self.model.parameters()])


def test_both_groups_work_at_the_same_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(2, timeout=60)
    calls = {"recur": 0, "read": 0}
    recur, read = Recurrent.recur, Recurrent.read

    def met(name: str, method: Any) -> Any:
        def run(self: Recurrent, *inputs: Any) -> Any:
            calls[name] += 1
            # The output layer is at the first micro-batch when the others are at the second.
            if calls[name] == {"recur": 2, "read": 1}[name]:
                together.wait()
            return method(self, *inputs)
        return run

    monkeypatch.setattr(Recurrent, "recur", met("recur", recur))
    monkeypatch.setattr(Recurrent, "read", met("read", read))
    Rank(store, PipelinedBackPropagation).gradient()
    assert calls["recur"] == calls["read"] > 3
    assert not together.broken


@pytest.mark.parametrize("stage", ["embed", "recur", "read"])
def test_micro_batches_that_do_not_fit_are_halved(
    stage: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Rank(store, BackPropagation).gradient()
    rank = Rank(store, PipelinedBackPropagation)
    method = getattr(Recurrent, stage)

    def allocate(self: Recurrent, first: Tensor, *inputs: Any) -> Any:
        tokens = first.numel() // (1 if stage == "embed" else first.shape[2])
        if tokens > 100:
            raise torch.OutOfMemoryError
        return method(self, first, *inputs)

    monkeypatch.setattr(Recurrent, stage, allocate)
    assert torch.allclose(rank.gradient(), wanted, rtol=1e-12, atol=1e-15)
    assert rank.backward.max_tokens <= 100


def test_a_trial_ends_when_it_is_of_no_use_any_more(store: Store) -> None:
    rank, asked = Rank(store, PipelinedBackPropagation), []

    def interrupted() -> bool:
        asked.append(1)
        return len(asked) == 2

    assert rank.backward.run(rank.batch, (0, 200), (0, 0), interrupted) is None
    assert len(asked) == 2
    wanted = Rank(store, BackPropagation).gradient()
    assert torch.allclose(rank.gradient(), wanted, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "cnn"}, "--parallel model is for lstm, gru, bilstm-attention"),
        ({"model": "bag"}, "--parallel model is for lstm, gru, bilstm-attention"),
        ({"threads": 1}, "--parallel model is for ranks of two threads or more, and here one has "
                         "1: give --threads 2, or --parallel data"),
    ],
)
def test_what_has_no_two_groups_is_one_line(
    options: dict[str, Any], message: str, store: Store, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message) as refused:
        two_groups(store, tmp_path / "run", **options)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()
