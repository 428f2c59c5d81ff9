"""The peers of `bench dask` do the same work as reviewmill."""

from pathlib import Path

import h5py
import pandas as pd
import pytest

from benchmarks.on_dask import first_lines, held_in_memory, speeds
from benchmarks.peers.loading import SIDES, label_and_text
from benchmarks.peers.polarity import (
    LINES,
    RECIPE,
    clean_pandas,
    store_pandas,
    write_polarity,
)
from mapreduce.clean import clean_files
from mapreduce.engines.options import EngineOptions
from reviews.corpora import plan_splits, read_blocks
from tests.mapreduce.corpus import run


def test_a_peer_gets_what_it_can_hold_and_one_that_fails_is_told(tmp_path: Path) -> None:
    (source := tmp_path / "all.txt").write_text("a\nb\nc\n")
    assert first_lines(source, tmp_path / "some.txt", 2).read_text() == "a\nb\n"
    assert 3 * held_in_memory("store") == pytest.approx(held_in_memory("clean"), abs=3)
    found = {"pandas": [2.0], "plain Dask": "out of memory", "ours": [1.0, 9.0, 2.0]}
    shown = speeds(found, reviews=40, few=20)
    assert [line.split() for line in shown.splitlines()[1:]] == [
        ["pandas", "20", "2.0", "10", "1.00"], ["ours", "40", "2.0", "20", "2.00"],
        ["plain", "Dask:", "out", "of", "memory"]]


def test_pandas_keeps_the_texts_and_rows_that_reviewmill_keeps(tmp_path: Path) -> None:
    source = tmp_path / "reviews.txt"
    assert write_polarity(source, 400) == source.stat().st_size
    assert source.read_text().count("\n") == 400
    clean_pandas(source, tmp_path / "theirs")
    clean_files([str(source)], str(tmp_path / "ours"), RECIPE, EngineOptions(runner="inline"))
    theirs, ours = (pd.read_parquet(tmp_path / name)["text"].tolist()
                    for name in ("theirs", "ours"))
    assert ours == [text for text in theirs if text]

    store_pandas(source, tmp_path / "rows")
    records = run([str(source)], tmp_path / "store", RECIPE).manifest["records"]
    with h5py.File(tmp_path / "rows" / "rows.h5") as file:
        assert len(file["label"]) == records["stored"]


@pytest.mark.parametrize("side", [
    "pandas", "reviewmill-local", pytest.param("dask", marks=pytest.mark.soak),
    pytest.param("reviewmill-dask", marks=pytest.mark.soak)])
def test_every_side_loads_all_reviews(tmp_path: Path, side: str) -> None:
    write_polarity(tmp_path / "reviews.txt", 400)
    assert SIDES[side](tmp_path / "reviews.txt", 1) == 400


def test_pandas_loads_the_labels_and_texts_that_reviewmill_loads(tmp_path: Path) -> None:
    write_polarity(source := tmp_path / "reviews.txt", 300)
    theirs = label_and_text(pd.read_csv(source, dtype_backend="pyarrow", **LINES))
    [split] = plan_splits([str(source)], RECIPE)
    [block] = read_blocks(split, RECIPE)
    assert theirs["text"].tolist() == block.reviews["text"].to_pylist()
    assert [label == "2" for label in theirs["label"]] == [
        bool(label) for label in block.reviews["label"].to_pylist()]
