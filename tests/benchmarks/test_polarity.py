"""The peers of `bench dask` do the same work as reviewmill."""

from pathlib import Path

import h5py
import pandas as pd
import pytest

from benchmarks.on_dask import first_lines, held_in_memory, speeds
from benchmarks.peers.polarity import RECIPE, clean_pandas, store_pandas, write_polarity
from mapreduce.clean import clean_files
from mapreduce.engines.options import EngineOptions
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
