"""`--balance dynamic`: the slower rank gets less, and what is learned stays the same."""

import json
from pathlib import Path

import numpy as np
import pytest

from reviews.bundle import read_bundle
from reviews.store import Store
from tests.mpi_train.ranks import run_ranks
from tests.mpi_train.runs import records
from tests.stores import make_store

UPDATES, EPOCHS = 20, 2


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("balance") / "store",
                      {"train": 128 * UPDATES, "validation": 40}, length=64, vocabulary=80)


@pytest.fixture(scope="module")
def runs(store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    found = {name: folder / name for name in ("equal", "dynamic")}
    done = run_ranks(2, "-m", "tests.mpi_train.unequal", store.path, *found.values(),
                     "--epochs", str(EPOCHS), "--batch-size", "128", "--hidden-dim", "32",
                     "--embedding-dim", "16", "--threads", "1", "--keep", "last")
    assert done.returncode == 0, done.stderr
    return found


def test_a_rank_that_is_four_times_slower_gets_much_less(runs: dict[str, Path]) -> None:
    late = records(runs["dynamic"], "step")[UPDATES:]
    share = sum(s["share_tokens"][1] for s in late) / sum(s["tokens"] for s in late)
    assert share < 0.4
    equal = records(runs["equal"], "step")
    assert sum(s["share_tokens"][1] for s in equal) / sum(
        s["tokens"] for s in equal) == pytest.approx(0.5, abs=0.02)


def test_every_review_is_still_trained_on_once_an_epoch(
    runs: dict[str, Path], store: Store
) -> None:
    for epoch in range(EPOCHS):
        steps = [s for s in records(runs["dynamic"], "step") if s["epoch"] == epoch]
        assert sum(sum(s["shares"]) for s in steps) == store.rows("train")


def test_the_weights_are_those_of_equal_parts(runs: dict[str, Path]) -> None:
    one, other = (read_bundle(runs[name]).weights for name in ("equal", "dynamic"))
    distance = sum(float(np.square(one[name] - other[name]).sum()) for name in one)
    size = sum(float(np.square(one[name]).sum()) for name in one)
    assert np.sqrt(distance / size) < 1e-4


def test_decisions_are_told_with_the_lines_behind_them(runs: dict[str, Path]) -> None:
    decisions = records(runs["dynamic"], "rebalance")
    assert 1 <= len(decisions) < UPDATES * EPOCHS
    assert records(runs["equal"], "rebalance") == []
    last = decisions[-1]
    assert last["b"][1] > last["b"][0] > 0
    assert min(last["a"]) >= 0
    state = sorted((runs["dynamic"] / "checkpoints").iterdir())[-1] / "state.json"
    assert json.loads(state.read_text())["balancer"]["ranks"] == 2
