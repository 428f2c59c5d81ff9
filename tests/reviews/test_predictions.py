"""Predictions in Parquet: read as they were written, in an order that all models share."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from reviews.predictions import read_predictions, write_predictions


@pytest.mark.parametrize("classes", [["a", "b"], ["a", "b", "c"]])
def test_predictions_come_back_in_the_order_of_review_ids(
    tmp_path: Path, classes: list[str]
) -> None:
    draws, file = np.random.default_rng(0), tmp_path / "said.parquet"
    ids = draws.integers(0, 2**63, 30).astype(np.uint64)
    labels = draws.integers(0, len(classes), 30).astype(np.uint8)
    logits = draws.normal(size=(30,) if len(classes) == 2 else (30, 3)).astype(np.float32)
    write_predictions(str(file), ids, labels, logits, classes)
    order = np.argsort(ids)
    for ours, expected in zip(read_predictions(file, classes), (ids, labels, logits), strict=True):
        assert np.array_equal(ours, expected[order])
    table = pq.read_table(file)
    assert table["label"].to_pylist() == [classes[number] for number in labels]
    chances = np.array(table["probability"].to_pylist())
    assert chances.shape == (30, len(classes))
    assert chances.sum(1) == pytest.approx(1)
