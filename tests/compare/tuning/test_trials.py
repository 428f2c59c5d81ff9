"""Trials as processes: what ends them early, what makes them fail, what they leave behind."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from compare.tuning.study import COMPLETE, FAILED, PRUNED, NextTrial
from compare.tuning.trials import Trainings, run_trial

# A training of one epoch for each number, with its validation; then it ends with a status.
SCRIPT = """
import json, os, sys
run, values, status = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
for name in ("checkpoints", "model"):
    os.makedirs(run + "/" + name)
for epoch, value in enumerate(values):
    with open(run + "/metrics.jsonl", "a") as file:
        record = {"kind": "epoch", "epoch": epoch, "validation": {"accuracy": value}}
        file.write(json.dumps(record) + "\\n")
    print("epoch", epoch, flush=True)
print("the last line", flush=True)
sys.exit(status)
"""


class Scripted(Trainings):
    """Trainings whose validations are given."""

    values: tuple[tuple[float | None, ...], ...] = ((0.5,),)  # by fold
    status = 0

    def command(self, number: int, fold: int) -> list[str]:
        return [sys.executable, "-S", "-c", SCRIPT, str(self.folder(number) / f"fold-{fold}"),
                json.dumps(self.values[fold]), str(self.status)]


class Limit(NextTrial):
    """A trial that is pruned by what is below a limit."""

    def __init__(self, limit: float) -> None:
        self.params = {"dropout": 0.25}
        self.limit = limit
        self.seen: list[tuple[int, float]] = []

    def report(self, step: int, value: float) -> bool:
        self.seen.append((step, value))
        return value < self.limit


def scripted(out: Path, *values: tuple[float | None, ...], keep: str = "best", status: int = 0
             ) -> Scripted:
    made = Scripted("store", out, range(len(values)), {"model": "bag"}, keep, "accuracy", 0)
    object.__setattr__(made, "values", values)
    object.__setattr__(made, "status", status)
    return made


def run(trainings: Trainings, limit: float = 0.0, number: int = 4) -> dict[str, Any]:
    result = run_trial(trainings, number, Limit(limit))
    kept = json.loads((trainings.folder(number) / "result.json").read_bytes())
    assert kept == json.loads(json.dumps(result))
    return kept


@pytest.mark.parametrize(("keep", "value"), [("best", 0.8), ("last", 0.7), ("average", 0.7)])
def test_the_value_is_that_of_the_epoch_that_is_kept(
    tmp_path: Path, keep: str, value: float
) -> None:
    result = run(scripted(tmp_path, (0.6, 0.8, 0.7), keep=keep))
    assert (result["state"], result["value"]) == (COMPLETE, value)
    assert result["steps"] == [[0, 0.6], [1, 0.8], [2, 0.7]]


def test_an_epoch_that_is_too_bad_ends_the_trial(tmp_path: Path) -> None:
    result = run(scripted(tmp_path, (0.8, 0.4, 0.9)), limit=0.5)
    assert (result["state"], result["value"]) == (PRUNED, 0.4)
    assert result["steps"] == [[0, 0.8], [1, 0.4]]


def test_of_several_folds_the_mean_so_far_ends_it(tmp_path: Path) -> None:
    result = run(scripted(tmp_path, (0.9, 0.8), (0.2,), (0.9,)), limit=0.6)
    assert (result["state"], result["value"]) == (PRUNED, pytest.approx(0.55))
    assert result["steps"] == [[0, 0.9], [1, pytest.approx(0.55)]]
    whole = run(scripted(tmp_path, (0.9, 0.8), (0.2,)), limit=0.6)  # nothing is left to save
    assert (whole["state"], whole["value"]) == (COMPLETE, pytest.approx(0.55))


@pytest.mark.parametrize(("values", "status"), [((0.9,), 3), ((), 0), ((None,), 0)])
def test_a_training_that_fails_or_is_not_validated_has_no_value(
    tmp_path: Path, values: tuple[float | None, ...], status: int
) -> None:
    result = run(scripted(tmp_path, values, status=status))
    assert (result["state"], result["value"], result["reason"]) == (FAILED, None, "the last line")


def test_a_trial_begins_anew_and_leaves_its_options_but_no_model(tmp_path: Path) -> None:
    trainings = scripted(tmp_path, (0.9,))
    trainings.folder(4).mkdir(parents=True)
    (trainings.folder(4) / "left-over").touch()
    run(trainings)
    assert sorted(path.name for path in trainings.folder(4).iterdir()) == [
        "fold-0", "log.txt", "options.yaml", "result.json"]
    assert [path.name for path in (trainings.folder(4) / "fold-0").iterdir()] == ["metrics.jsonl"]
    assert yaml.safe_load((trainings.folder(4) / "options.yaml").read_text()) == {
        "model": "bag", "dropout": 0.25}
    assert "epoch 0" in (trainings.folder(4) / "log.txt").read_text()
