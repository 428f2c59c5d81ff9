"""Rates of scoring on two cores and by Spark, beside two runs that share nothing."""

import importlib.util
import json
import os
import re
import shutil
from pathlib import Path

import pytest

import reviewmill
from benchmarks.scaling.score_rates import repeated, score_on_spark
from reviews.errors import UserError
from tests.requirements import need
from tests.scoring.bundles import TEXTS, make_bundle


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    """Two files of reviews."""
    need(shutil.which("java") is not None, "Spark needs java")
    need(importlib.util.find_spec("pyspark") is not None, "needs pyspark")
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for file in files:
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS * 20))
    return [*map(str, files)]


def test_all_reviews_are_scored_by_tasks_after_the_start(
    inputs: list[str], tmp_path: Path
) -> None:
    model, _ = make_bundle(tmp_path, "bag")
    found = score_on_spark(str(model), inputs, "local[2]", tmp_path)
    assert found.reviews == 400
    assert min(found.start, found.seconds) > 0
    assert sorted(file.name for file in (tmp_path / "all").glob("*.parquet")) == [
        "part-00000.parquet", "part-00001.parquet"]


def test_copies_of_an_input_are_all_scored(
    inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, _ = make_bundle(tmp_path, "bag")
    copies = repeated(str(model), inputs, 3, tmp_path)
    assert len(copies) == 3 * len(inputs)
    out = tmp_path / "out.parquet"
    assert reviewmill.main(["score", str(model), *copies, "--out", str(out)]) == 0
    assert "1,200 predictions for 1,200 records" in capsys.readouterr().out
    with pytest.raises(UserError, match="give a file of this machine"):
        repeated(str(model), ["s3://bucket/a.jsonl"], 2, tmp_path)


@pytest.mark.soak
def test_a_cluster_of_this_machine_is_measured(
    inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need(len(os.sched_getaffinity(0)) > 1, "two cores")
    model, _ = make_bundle(tmp_path, "bag")
    assert reviewmill.main(["bench", "score", str(model), *inputs, "--spark"]) == 0
    assert re.search(
        r"Spark, two executors of one core: 400 reviews in [\d.]+ s, [\d,]+ reviews/s, [\d.]+% of "
        r"two runs that share nothing \([\d,]+\); start [\d.]+ s apart", capsys.readouterr().out)
