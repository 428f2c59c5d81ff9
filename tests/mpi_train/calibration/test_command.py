"""`reviewmill calibrate`: a temperature in the model, the same labels, figures in the run."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reviewmill
from mpi_train.calibration.command import read_wanted
from mpi_train.calibration.fit import fit_temperature
from reviews.bundle import read_bundle
from reviews.errors import UserError
from reviews.predictions import read_predictions
from reviews.store import Store
from tests.mpi_train.runs import records, train
from tests.stores import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("calibrate") / "store",
                      {"train": 200, "validation": 400, "test": 300}, length=8)


@pytest.fixture(scope="module")
def trained(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned its reviews by heart, and so is too sure."""
    return train(store, tmp_path_factory.mktemp("trained") / "run", model="bag", epochs=30,
                 buckets=997, learning_rate=1.0, keep="last")


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")


def said(capsys: pytest.CaptureFixture[str], *words: Any) -> dict[str, Any]:
    """The JSON that a command prints."""
    capsys.readouterr()
    assert reviewmill.main([*map(str, words), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_the_temperature_is_in_the_model_and_evaluation_heeds_it(
    run: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "validation.parquet"
    raw = said(capsys, "evaluate", run, "--store", store.path, "--split", "validation",
               "--predictions", file)
    _, labels, logits = read_predictions(file, store.classes)
    before = said(capsys, "evaluate", run, "--store", store.path)
    found = said(capsys, "calibrate", run, "--store", store.path)
    assert found["temperature"] == pytest.approx(fit_temperature(logits, labels))
    assert found["temperature"] > 1.5
    assert read_bundle(run).temperature == found["temperature"]
    assert f"divided by {found['temperature']:.3f}" in (run / "model" / "card.md").read_text()
    after = said(capsys, "evaluate", run, "--store", store.path)
    same = {*before} - {"loss", "seconds", "precision_recall"}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    for figures, state in ((before, "before"), (after, "after")):
        assert found["splits"]["test"][state]["loss"] == pytest.approx(figures["loss"])
    validation = found["splits"]["validation"]
    assert validation["before"]["loss"] == pytest.approx(raw["loss"])
    for split in found["splits"].values():
        assert split["after"]["ece"] < split["before"]["ece"] / 2
        assert split["after"]["accuracy"] == split["before"]["accuracy"]
    assert said(capsys, "inspect", run, "--verify")["temperature"] == found["temperature"]
    [record] = records(run, "calibration")
    assert record["splits"] == found["splits"]


def test_it_may_be_done_again(
    run: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (said(capsys, "calibrate", run, "--store", store.path) for _ in range(2))
    assert first == second
    assert (run / "model" / "card.md").read_text().count("Probabilities:") == 1


def test_a_threshold_is_the_one_that_score_takes(
    run: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    found = said(capsys, "calibrate", run, "--store", store.path, "--precision-of",
                 "negative=0.6")["threshold"]
    assert 0 < found["threshold"] < 1 and found["validation"]["precision"] >= 0.6
    assert set(found) == {"class", "wanted", "threshold", "validation", "test"}
    assert reviewmill.main(["calibrate", str(run), "--store", str(store.path), "--precision-of",
                            "negative=0.6"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert f"score --threshold {found['threshold']!r} (validation: precision" in line


def test_a_refusal_leaves_the_model_as_it_is(
    run: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = (run / "model" / "manifest.json").read_bytes()
    other = make_store(tmp_path / "other", {"train": 50, "validation": 20}, vocabulary=90)
    bare = make_store(tmp_path / "bare", {"train": 50}, length=8)
    for words, message in (
        (["--store", other.path], "was encoded with another vocabulary"),
        (["--store", bare.path], "has no validation rows to fit a temperature on"),
        (["--store", store.path, "--precision-of", "negative"], "such as negative=0.9"),
        (["--store", store.path, "--precision-of", "bad=0.9"], "the classes are negative, pos"),
        (["--store", store.path, "--device", "tpu"], "--device is tpu: give auto, cpu"),
    ):
        assert reviewmill.main(["calibrate", str(run), *map(str, words)]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert message in line
    assert (run / "model" / "manifest.json").read_bytes() == manifest
    assert not records(run, "calibration")


@pytest.mark.parametrize("text", ["", "0.9", "=0.9", "negative=", "negative=0", "negative=1.5"])
def test_what_is_no_class_and_precision_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="give a class and a precision"):
        read_wanted(text)


@pytest.mark.parametrize("value", [0, -1.0, True, "1", None, float("nan"), float("inf")])
def test_a_temperature_that_is_none_is_refused(run: Path, value: Any) -> None:
    bundle = read_bundle(run)
    bundle.model["temperature"] = value
    with pytest.raises(UserError, match="the temperature is no number above 0"):
        assert np.isfinite(bundle.temperature)
