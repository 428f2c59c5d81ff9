"""Rows of a store: texts and samples."""

from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from compare.rows import draw_sample, fold_of, read_rows, texts, write_rows
from tests.stores import make_store


def test_texts_are_the_tokens_without_padding(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"test": 20}, length=9)
    with h5py.File(store.path / "reviews.h5", locking=False) as file:
        expected = [row[:n].tolist() for row, n in zip(
            file["test/tokens"][:], file["test/length"][:], strict=True)]
    assert [list(map(int, text.split())) for text in texts(store, "test")] == expected
    assert texts(store, "test", np.array([3, 7])) == [texts(store, "test")[n] for n in (3, 7)]


def test_a_smaller_sample_is_part_of_a_larger_one() -> None:
    ids = np.random.default_rng(0).integers(0, 2**63, 1_000).astype(np.uint64)
    small, large = draw_sample(ids, 0.1), draw_sample(ids, 0.35)
    assert (len(small), len(large)) == (100, 350)
    assert set(small) < set(large)
    assert np.array_equal(draw_sample(ids, 1), np.arange(1_000))
    assert len(draw_sample(ids, 1e-9)) == 1


def test_rows_are_kept_by_position(tmp_path: Path) -> None:
    ids = np.array([5, 5, 9], np.uint64)
    write_rows(tmp_path / "rows.parquet", ids, np.array([1, 2]))
    assert read_rows(tmp_path / "rows.parquet").tolist() == [1, 2]
    assert pq.read_table(tmp_path / "rows.parquet").to_pydict() == {
        "review_id": [5, 9], "row": [1, 2], "count": [1, 1]}


def test_folds_are_about_equal_and_a_review_is_always_in_the_same() -> None:
    ids = np.random.default_rng(1).integers(0, 2**63, 10_000).astype(np.uint64)
    folds = fold_of(ids, 5)
    assert np.bincount(folds, minlength=5) == pytest.approx(np.full(5, 2_000), rel=0.1)
    assert np.array_equal(fold_of(ids[::-1], 5), folds[::-1])
