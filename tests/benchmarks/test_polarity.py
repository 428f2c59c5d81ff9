"""The peers of `bench dask` do the same work as reviewmill."""

from pathlib import Path

import h5py
import pandas as pd

from benchmarks.polarity import RECIPE, clean_pandas, store_pandas, write_polarity
from mapreduce.clean import clean_files
from mapreduce.engines import EngineOptions
from tests.mapreduce.corpus import run


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
