"""The gradient of any ranks and shares is that of one process; so are the weights."""

import json
from pathlib import Path

import pytest

from mpi_train.__main__ import main
from reviews.bundle import read_bundle
from reviews.store import Store
from tests.mpi_train.exchange.exactness import cases
from tests.mpi_train.ranks import run_ranks
from tests.mpi_train.runs import difference, train_on_ranks
from tests.stores import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("exact") / "store",
                      {"train": 2600, "validation": 60}, length=24, vocabulary=80, shards=3,
                      features=("likes", "age"))


@pytest.fixture(scope="module")
def errors(store: Store) -> dict[str, float]:
    run = run_ranks(3, "-m", "tests.mpi_train.exchange.exactness", store.path)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_every_case_was_run(errors: dict[str, float]) -> None:
    assert len(errors) == len(cases()) > 60


@pytest.mark.parametrize(("precision", "limit"), [("fp64", 1e-10), ("fp32", 1e-5), ("bf16", 5e-2),
                                                  ("fp16", 5e-3)])
def test_gradients_equal_those_of_one_process(
    errors: dict[str, float], precision: str, limit: float
) -> None:
    chosen = {name: error for name, error in errors.items() if name.endswith(precision)}
    assert chosen
    assert {name: error for name, error in chosen.items() if not error <= limit} == {}


def test_gradients_that_travel_as_bf16_are_off_by_its_rounding(errors: dict[str, float]) -> None:
    one, *several = [error for name, error in errors.items() if name.endswith("-bf16")]
    assert one < 1e-5  # nothing travels
    assert len(several) == 3
    assert all(1e-4 < error < 2**-8 for error in several)


def test_weights_after_50_updates_are_the_same_on_1_and_2_ranks(
    store: Store, tmp_path: Path
) -> None:
    options = ["--store", store.path, "--max-steps", 50, "--batch-size", 64, "--embedding-dim",
               16, "--hidden-dim", 12, "--micro-batch-tokens", 256, "--keep", "last",
               "--layers", 2, "--bidirectional", "--word-dropout", 0.1, "--epochs", 9,
               "--threads", 1, "--clip-norm", 0.2]
    assert main([str(part) for part in [*options, "--out", tmp_path / "one"]]) == 0
    extra = {"equal": [], "uneven": ["--shares", "1,3", "--backend", "mpi"],
             "gloo": ["--backend", "gloo"]}
    train_on_ranks(2, [[*options, "--out", tmp_path / name, *more]
                       for name, more in extra.items()])
    one = read_bundle(tmp_path / "one").weights
    for name in extra:
        assert difference(one, read_bundle(tmp_path / name).weights) <= 1e-4
