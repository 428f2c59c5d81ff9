"""Figures of a run as it grows: each once, in order, named by what they are of."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from reports.tracking.scalars import ScalarReader, Scalars

START = 1_750_000_000


def step(number: int, ranks: int = 1, **changes: Any) -> dict[str, Any]:
    return {"kind": "step", "step": number, "loss": 0.5 / number, "learning_rate": 0.1,
            "reviews_per_s": 100.0, "efficiency": None, "step_s": 2.0, "shares": [3] * ranks,
            "compute_s": [1.0] * ranks, "wait_s": [0.5] * ranks, **changes}


def write(run: Path, *records: dict[str, Any], torn: str = "") -> None:
    with open(run / "metrics.jsonl", "a") as file:
        file.write("".join(json.dumps(record) + "\n" for record in records) + torn)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text("model: lstm\n")
    os.utime(tmp_path / "config.yaml", (START, START))
    return tmp_path


def test_a_run_without_records_has_no_figures(run: Path) -> None:
    assert [*ScalarReader(run).new()] == []


def test_every_record_is_read_once_and_torn_lines_when_they_are_whole(run: Path) -> None:
    reader = ScalarReader(run)
    line = json.dumps(step(2))
    write(run, step(1), torn=line[:20])
    assert [found.step for found in reader.new()] == [1]
    write(run, torn=line[20:] + "\n")
    assert [found.step for found in reader.new()] == [2]
    assert [*reader.new()] == []


def test_times_are_those_of_the_start_and_of_the_updates(run: Path) -> None:
    write(run, step(1), step(2))
    first, second = ScalarReader(run).new()
    assert first == Scalars(1, START + 2, {
        "train/loss": 0.5, "train/learning_rate": 0.1, "train/reviews_per_s": 100.0})
    assert (second.time, second.values["train/loss"]) == (START + 4, 0.25)


def test_several_ranks_have_figures_of_their_own(run: Path) -> None:
    write(run, step(1, ranks=2, shares=[5, 1]))
    [found] = ScalarReader(run).new()
    assert {name: value for name, value in found.values.items() if "shares" in name} == {
        "rank_0/shares": 5, "rank_1/shares": 1}


def test_validations_and_evaluations_are_named_by_their_split(run: Path) -> None:
    scores = {"loss": 0.3, "accuracy": 0.9, "f1_macro": 0.8, "roc_auc": None, "n": 7}
    write(run, step(4), {"kind": "epoch", "epoch": 0, "step": 4, "loss": 0.4, "validation": scores},
          {"kind": "evaluation", "split": "test", **scores}, {"kind": "rebalance", "step": 4})
    _, epoch, test = ScalarReader(run).new()
    assert epoch == Scalars(4, START + 2, {
        "epoch/loss": 0.4, "validation/loss": 0.3, "validation/accuracy": 0.9,
        "validation/f1_macro": 0.8})
    assert (test.step, test.values["test/accuracy"]) == (4, 0.9)


def test_what_a_resumed_run_does_again_is_not_read_again(run: Path) -> None:
    write(run, step(1), step(2), step(3))
    reader = ScalarReader(run)
    assert len([*reader.new()]) == 3
    (run / "metrics.jsonl").unlink()
    write(run, step(1), step(2))  # a resume from the checkpoint of update 2
    assert [*reader.new()] == []
    write(run, step(3), step(4))
    assert [found.step for found in reader.new()] == [4]


def test_an_epoch_has_the_resources_of_every_rank_that_are_known(run: Path) -> None:
    write(run, step(1, ranks=2), {
        "kind": "epoch", "epoch": 0, "step": 1, "loss": 0.5, "cpu_percent": [99.0, 150.0],
        "memory_bytes": [7, 8], "gpu_percent": [None, 40.0], "gpu_memory_bytes": [None, None]})
    _, found = ScalarReader(run).new()
    assert found.values == {
        "epoch/loss": 0.5, "rank_0/cpu_percent": 99.0, "rank_1/cpu_percent": 150.0,
        "rank_0/memory_bytes": 7, "rank_1/memory_bytes": 8, "rank_1/gpu_percent": 40.0}
