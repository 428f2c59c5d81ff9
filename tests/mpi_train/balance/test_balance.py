"""`--balance`: slower ranks get less or nothing, and what is learned stays the same."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpi_train.__main__ import main
from reviews.bundle import read_bundle
from reviews.store import Store
from tests.mpi_train.balance.unequal import HELD_UP_EPOCHS, RUNS
from tests.mpi_train.ranks import run_ranks
from tests.mpi_train.runs import records
from tests.stores import make_store

UPDATES, EPOCHS = 50, 4
OPTIONS = ["--model", "lstm", "--epochs", str(EPOCHS), "--batch-size", "96", "--hidden-dim", "32",
           "--embedding-dim", "16", "--threads", "1", "--keep", "last"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("balance") / "store",
                      {"train": 96 * UPDATES, "validation": 40}, length=64, vocabulary=80)


@pytest.fixture(scope="module")
def runs(store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    done = run_ranks(3, "-m", "tests.mpi_train.balance.unequal", store.path, folder, *OPTIONS,
                     timeout=240)
    assert done.returncode == 0, done.stderr
    return {name: folder / name for name in RUNS}


def steps(run: Path, epoch: int) -> list[dict[str, Any]]:
    return [step for step in records(run, "step") if step["epoch"] == epoch]


def part_of(rank: int, steps: list[dict[str, Any]]) -> float:
    """Share of a rank in some updates."""
    return sum(s["share_tokens"][rank] for s in steps) / sum(s["tokens"] for s in steps)


def distance(one: Path, other: Path) -> float:
    """Relative L2 norm of the difference of two runs' weights."""
    first, second = read_bundle(one).weights, read_bundle(other).weights
    difference = sum(float(np.square(first[n] - second[n]).sum()) for n in first)
    return float(np.sqrt(difference / sum(float(np.square(w).sum()) for w in first.values())))


def test_a_rank_that_is_four_times_slower_gets_much_less(runs: dict[str, Path]) -> None:
    late = steps(runs["dynamic"], EPOCHS - 1)
    assert part_of(1, late) < 0.5 * part_of(0, late)
    for step in records(runs["equal"], "step"):
        assert step["share_tokens"] == pytest.approx([step["tokens"] / 3] * 3, rel=0.2)


def test_once_an_epoch_shares_follow_the_epoch_before(runs: dict[str, Path]) -> None:
    first, *later = (steps(runs["epoch"], epoch) for epoch in range(EPOCHS))
    assert part_of(1, first) == pytest.approx(1 / 3, abs=0.02)
    for epoch in later:
        assert part_of(1, epoch) < 0.3
        wanted = part_of(1, epoch)
        assert all(part_of(1, [step]) == pytest.approx(wanted, abs=0.02) for step in epoch)
    assert len(records(runs["epoch"], "rebalance")) == EPOCHS - 1


def test_a_rank_that_holds_up_the_others_is_parked_and_taken_back(runs: dict[str, Path]) -> None:
    shares = [step["shares"][2] for step in records(runs["dynamic"], "step")]
    held_up = shares[20 : HELD_UP_EPOCHS * UPDATES]
    assert held_up.count(0) > 0.8 * len(held_up)
    assert shares[0] > 0
    # It comes back soon after the reason is gone, and stays.
    back = shares[(HELD_UP_EPOCHS + 1) * UPDATES + 20 :]
    assert back.count(0) < 0.5 * len(back)


def test_updates_without_the_parked_rank_do_not_wait_for_it(runs: dict[str, Path]) -> None:
    without = [step["step_s"] for step in steps(runs["dynamic"], 0) if step["shares"][2] == 0]
    together = [step["step_s"] for step in steps(runs["dynamic"], 0) if step["shares"][2] > 0]
    assert np.median(without) < 0.5 * np.median(together)


def test_no_rank_gets_more_than_its_cap(runs: dict[str, Path]) -> None:
    late = steps(runs["capped"], EPOCHS - 1)
    assert all(part_of(0, [step]) < 0.42 for step in late)
    assert part_of(1, late) < 0.3


def test_between_decisions_shares_stay(runs: dict[str, Path]) -> None:
    for name, all_in_step in (("capped", True), ("dynamic", False)):
        steps = [decision["step"] for decision in records(runs[name], "rebalance")]
        assert all(step % 20 == 1 for step in steps) == all_in_step


def test_a_rank_that_reports_no_time_ends_the_run_before_the_update(runs: dict[str, Path]) -> None:
    [failure] = records(runs["dynamic"].parent / "no-time", "failure")
    assert re.fullmatch(r"epoch 1, update 1: rank 1 reports nan s for \d+ tokens: a time is a "
                        "positive number: stopped before the update", failure["reason"])


def test_every_review_is_still_trained_on_once_an_epoch(
    runs: dict[str, Path], store: Store
) -> None:
    for run in runs.values():
        for epoch in range(EPOCHS):
            assert sum(sum(s["shares"]) for s in steps(run, epoch)) == store.rows("train")


def test_the_weights_are_those_of_equal_parts_and_of_one_process(
    runs: dict[str, Path], store: Store, tmp_path: Path
) -> None:
    for name, bound in (("dynamic", 1e-4), ("fp64", 1e-9)):
        assert main(["--store", str(store.path), "--out", str(tmp_path / name), *OPTIONS,
                     *RUNS[name]]) == 0
        assert distance(tmp_path / name, runs[name]) < bound
    assert distance(runs["equal"], runs["dynamic"]) < 1e-4
    assert distance(runs["equal"], runs["epoch"]) < 1e-4


def test_decisions_are_told_with_the_lines_behind_them(runs: dict[str, Path]) -> None:
    decisions = records(runs["dynamic"], "rebalance")
    assert 1 <= len(decisions) < UPDATES * EPOCHS
    assert records(runs["equal"], "rebalance") == []
    last = decisions[-1]
    assert last["b"][1] > last["b"][0] > 0
    assert min(last["a"]) >= 0
    state = sorted((runs["dynamic"] / "checkpoints").iterdir())[-1] / "state.json"
    assert json.loads(state.read_text())["balancer"]["ranks"] == 3


def test_the_expected_time_of_a_step_is_about_what_it_takes(runs: dict[str, Path]) -> None:
    settled = steps(runs["dynamic"], 1)
    ratios = [max(s["compute_s"]) / s["predicted_s"] for s in settled]
    assert 0.5 < np.median(ratios) < 2
