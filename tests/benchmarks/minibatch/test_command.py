"""`bench minibatch`: a table of rules and batch sizes, made of runs that are not repeated."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import reviewmill
from benchmarks.minibatch.command import Runs, report
from benchmarks.minibatch.runs import LOG, RESULT, Result
from reviews.store import Store
from tests.stores import make_store

# A rate at which Adam diverges in its second update, and LAMB, which has its own, does not.
SMALL = ["--rows", "200", "--epochs", "1", "--seeds", "1", "--batches", "32,64",
         "--rules", "lamb", "none", "--base-batch-size", "32", "--learning-rate", "1e38"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("minibatch") / "store",
                      {"train": 300, "validation": 40}, length=8)


def run(capsys: pytest.CaptureFixture[str], store: Store, *words: Any) -> tuple[int, str, str]:
    """Status, output and errors of the command."""
    try:
        status = reviewmill.main(["bench", "minibatch", str(store.path), *map(str, words)])
    except SystemExit as ended:
        status = int(ended.code or 0)
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_divergences_are_entries_and_kept_runs_are_not_trained_again(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for rule, accuracy in (("none", 0.765), ("lamb", 0.525)):
        kept = tmp_path / "batch-32" / rule / "seed-0" / RESULT
        kept.parent.mkdir(parents=True)
        kept.write_text(json.dumps({"accuracy": accuracy, "updates": 7, "noise_scale": {}}))
    status, shown, _ = run(capsys, store, *SMALL, "--out", tmp_path)
    assert status == 0
    assert re.search(r"200 reviews of length 8, 1 epochs; .* 40 validation reviews \(\d", shown)
    rows = [line.split() for line in shown.splitlines() if re.match(r"\d+  ", line)]
    assert rows[:3] == [
        ["32", "none", "7", "76.50%", "-", "-", "76.50%"],
        ["32", "lamb", "7", "52.50%", "-", "-", "52.50%"],
        ["64", "none", "-", "diverged", "-", "-", "diverged"]]
    assert rows[3][:3] == ["64", "lamb", "4"] and 0 < float(rows[3][3].rstrip("%")) < 100

    logs = {log: log.stat().st_mtime_ns for log in tmp_path.rglob(LOG)}
    assert sorted(log.parent.parent.name for log in logs) == ["lamb", "none"]
    assert run(capsys, store, *SMALL, "--out", tmp_path)[:2] == (0, shown)
    assert {log: log.stat().st_mtime_ns for log in tmp_path.rglob(LOG)} == logs


def test_the_report_has_means_deviations_and_the_batch_that_the_noise_scale_suggests() -> None:
    noise = {"scale": 900.0, "error": 50.0, "batch_size": 1024}
    unsure = {"scale": None, "error": None, "batch_size": None}
    runs: Runs = {
        (128, "none, sqrt"): [Result(0.900, 782, unsure), Result(0.904, 782, unsure)],
        (1024, "sqrt"): [Result(0.892, 98, {**noise, "scale": 700.0}), Result(0.896, 98, noise)],
        (4096, "sqrt"): [Result(0.85, 26, unsure), Result(None, 0, {})],
    }
    lines = report(runs).splitlines()
    assert [line.split()[-6:] for line in lines[1:3]] == [
        ["782", "90.20%", "0.28", "-", "90.00%", "90.40%"],
        ["98", "89.40%", "0.28", "800", "89.20%", "89.60%"]]
    assert lines[3].split() == ["4,096", "sqrt", "26", "diverged", "-", "-", "85.00%", "diverged"]
    assert lines[5:] == [
        "best: 90.20% at batch 128 (none, sqrt)",
        "largest batch within 1 points of it: 1,024 (sqrt), 89.40%",
        "suggested by --noise-scale: 1,024 (gradient noise scale 900 ± 50 reviews in the last "
        "epoch at batch 1,024, sqrt: the most accurate run in which it is sure)"]


def test_the_report_says_where_nothing_can_be_concluded() -> None:
    diverged = Result(None, 0, {})
    assert report({(128, "linear"): [diverged]}).splitlines()[-1] == "all runs diverged"
    unsure = Result(0.8, 5, {"scale": None, "error": None, "batch_size": None})
    assert "gradient noise scale: in no run sure" in report({(128, "sqrt"): [unsure]})


@pytest.mark.parametrize(("words", "message"), [
    (["--batches", "16,64"], "--batches 16,64: give numbers of 32 or more"),
    (["--batches", "64,x"], "--batches 64,x: give whole numbers"),
    (["--batches", "64,256"], "--batches 256 is more than --rows 200"),
    (["--rows", "301"], "300 training reviews: give --rows 300 or fewer"),
    (["--seeds", "0"], "--seeds, --rows, --epochs and --base-batch-size 1 or more"),
    (["--epochs", "0"], "--seeds, --rows, --epochs and --base-batch-size 1 or more"),
    (["--lamb-rate", "0"], "--lamb-rate and --warmup-epochs more than 0"),
    (["--warmup-epochs", "nan"], "--lamb-rate and --warmup-epochs more than 0"),
    (["--rules", "cubic"], "invalid choice: 'cubic'"),
])
def test_wrong_options_are_refused_before_anything_is_made(
    words: list[str], message: str, store: Store, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    status, _, errors = run(capsys, store, *SMALL, "--out", out, *words)
    assert status == 2 and message in errors
    assert not out.exists()


def test_a_store_without_validation_reviews_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = make_store(tmp_path / "store", {"train": 300, "test": 10}, length=8)
    status, _, errors = run(capsys, bare, *SMALL, "--out", tmp_path / "out")
    assert status == 2 and "lacks a validation split" in errors
