"""Calibration on a run's page: the diagram, its numbers, and the threshold."""

import json
from pathlib import Path
from typing import Any

from reports.page import render
from reports.results import calibration
from reports.run import Run, read_run
from tests.reports.document import parse
from tests.reports.runs import make_run


def figures(ece: float, confidence: float) -> dict[str, Any]:
    bins = [{"low": 0.6, "high": 0.7, "n": 120, "confidence": 0.65, "accuracy": 0.61},
            {"low": 14 / 15, "high": 1.0, "n": 777, "confidence": confidence, "accuracy": 0.95}]
    return {"accuracy": 0.924, "loss": 0.3, "ece": ece, "bins": bins}


def record(*splits: str, **others: Any) -> dict[str, Any]:
    split = {"n": 897, "before": figures(0.0713, 0.99), "after": figures(0.0051, 0.955)}
    return {"kind": "calibration", "time": "2026-11-21T09:30:00Z", "temperature": 1.834,
            "splits": {name: split for name in splits}, **others}


def run_of(folder: Path, *records: dict[str, Any]) -> Run:
    lines = "".join(json.dumps(one) + "\n" for one in records)
    return read_run(make_run(folder, epochs=1, extra=lines))


def test_it_is_a_part_of_the_page_that_the_top_leads_to(tmp_path: Path) -> None:
    text = render(run_of(tmp_path / "run", record("validation", "test")))
    parse(text)
    assert text.count('href="#calibration"') == 1 and text.count('id="calibration"') == 1


def test_the_diagram_and_its_numbers_are_those_of_the_test_split() -> None:
    text = calibration(record("validation", "test"))
    assert "Reliability on test reviews" in text
    assert "Reliability on validation reviews" not in text
    assert "Temperature 1.834" in text
    space = "\N{NO-BREAK SPACE}"
    for shown in (f"7.13{space}%", f"0.51{space}%", f"93{space}% to 100{space}%, as trained",
                  f"95.5{space}%", "777"):
        assert shown in text
    assert "Reliability on validation reviews" in calibration(record("validation"))


def test_the_threshold_is_shown_with_what_it_reaches() -> None:
    reached = {"precision": 0.891, "recall": 0.743}
    threshold = {"class": "<b>bad", "wanted": 0.9, "threshold": 0.31415926,
                 "validation": {"precision": 0.9, "recall": 0.8}, "test": reached}
    text = calibration(record("validation", "test", threshold=threshold))
    assert "score --threshold 0.314159</code>" in text
    assert "of &lt;b&gt;bad: " in text and "recall 74.3" in text


def test_a_model_that_was_trained_on_since_has_no_such_part(tmp_path: Path) -> None:
    epoch = {"kind": "epoch", "epoch": 5, "step": 1, "validation": None}
    assert run_of(tmp_path / "one", record("validation")).calibration["temperature"] == 1.834
    run = run_of(tmp_path / "other", record("validation"), epoch)
    assert not run.calibration
    assert 'id="calibration"' not in render(run)
