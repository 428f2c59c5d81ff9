"""Drawn reviews have the wanted fraction of the first class, and figures are theirs."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.imbalance.samples import draw_skewed, skewed_figures, write_training_rows
from compare.rows import column, read_rows
from reviews.errors import UserError
from tests.stores import make_store

IDS = np.arange(1000, dtype=np.uint64) * np.uint64(7919)
LABELS = (np.arange(1000) % 5 > 1).astype(np.int64)  # 400 of class 0


@pytest.mark.parametrize(("rare", "count", "of_class"), [
    (0.1, 500, [50, 450]), (0.4, 1000, [400, 600]),
    (0.25, None, [200, 600]),  # all of the second class
    (0.5, None, [400, 400]),  # all of the first
])
def test_a_draw_has_the_fraction(rare: float, count: int | None, of_class: list[int]) -> None:
    drawn = draw_skewed(IDS, LABELS, rare, count)
    assert np.bincount(LABELS[drawn]).tolist() == of_class
    assert (np.diff(drawn) > 0).all()


@pytest.mark.parametrize(("rare", "count"), [(0.45, 1000), (0.1, 700), (0.001, 100)])
def test_a_class_with_too_few_reviews_is_refused(rare: float, count: int) -> None:
    with pytest.raises(UserError, match="of the first class need"):
        draw_skewed(IDS, LABELS, rare, count)


def test_the_file_of_training_rows_names_reviews_of_the_training_split(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"train": 400, "test": 20}, length=8)
    write_training_rows(store, 0.2, 150, tmp_path / "rows.parquet")
    labels = column(store, "train", "label")[read_rows(tmp_path / "rows.parquet")]
    assert np.bincount(labels).tolist() == [30, 120]


def test_figures_are_those_of_the_drawn_predictions(tmp_path: Path) -> None:
    file = tmp_path / "predictions.parquet"
    names = np.array(["negative", "positive"])
    # Half of the first class is found; of the second, all.
    logits = np.where(LABELS, 1.0, np.where(np.arange(1000) % 5 == 0, 1.0, -1.0))
    pq.write_table(pa.table({
        "review_id": IDS, "label": names[LABELS], "logits": logits[:, None].tolist()}), file)
    figures = skewed_figures(file, list(names), 0.25)
    assert figures["n"] == 800 and figures["recall"]["positive"] == 1
    assert figures["recall"]["negative"] == pytest.approx(0.5, abs=0.05)
    assert sum(figures["confusion_matrix"][0]) == 200
