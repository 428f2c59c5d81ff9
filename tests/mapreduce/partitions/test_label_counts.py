"""Mutual information of features and labels is scikit-learn's, whatever was counted where."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.feature_selection import mutual_info_classif
from sklearn.metrics import mutual_info_score

from mapreduce.partitions.label_counts import (
    choose_best,
    information,
    label_counts,
    merge_counts,
)

NUMBER = {"field": "x", "kind": "number", "mean": 2.0, "scale": 1.0}


def draw(n: int, classes: int) -> tuple[np.random.Generator, np.ndarray]:
    rng = np.random.default_rng(classes)
    return rng, rng.integers(0, classes, n).astype(np.uint8)


def corrected(column: np.ndarray, labels: np.ndarray) -> float:
    """scikit-learn's, less (rows - 1) (columns - 1) / 2n of the table of counts."""
    sizes = [len(np.unique(one)) - 1 for one in (column, labels)]
    return mutual_info_score(column, labels) - sizes[0] * sizes[1] / (2 * len(labels))


@pytest.mark.parametrize("classes", [2, 5])
def test_columns_of_a_category_have_scikit_learns_information(classes: int) -> None:
    rng, labels = draw(3000, classes)
    number = np.where(rng.random(3000) < 0.3, labels, rng.integers(0, 4, 3000))
    names = np.array(["a", "b", "c", "d", "e"], object)[number]
    names[rng.random(3000) < 0.1 + 0.2 * labels / classes] = None
    entry = {"field": "x", "kind": "category", "values": ["c", "a"]}
    found = information(entry, label_counts(pa.chunked_array([names]), labels), classes)
    missing = np.array([name is None for name in names])
    assert found == pytest.approx(
        [corrected(column, labels) for column in (names == "c", names == "a", missing)], abs=1e-9)


def test_equal_numbers_are_in_one_bin_and_missing_ones_are_the_mean() -> None:
    rng, labels = draw(4000, 2)
    # Each value has more than a bin's share of the rows.
    values = (rng.integers(0, 3, 4000) + labels * rng.integers(0, 3, 4000)).astype(float)
    assert np.bincount(values.astype(int)).min() > 0.05 * 4000
    column = pa.array(values, mask=rng.random(4000) < 0.2)
    found = information(NUMBER, label_counts(pa.chunked_array([column]), labels), 2)
    stored = np.asarray(column.fill_null(2.0))
    assert found[0] == pytest.approx(corrected(stored, labels), abs=1e-9)
    assert found[1] == pytest.approx(corrected(np.asarray(column.is_null()), labels), abs=1e-9)


def test_numbers_without_end_have_about_the_information_of_their_neighbours() -> None:
    rng, labels = draw(6000, 2)
    for strength, close in ((0.0, 0.004), (0.5, 0.012), (2.0, 0.03)):
        values = rng.normal(strength * labels, 1.0) * 1e7 - 3e9
        counts = label_counts(pa.chunked_array([pa.array(values)]), labels)
        assert len(counts) < 3000  # numbers that are nearly equal are counted together
        wanted = mutual_info_classif(values[:, None], labels, random_state=0)[0]
        assert information(NUMBER, counts, 2)[0] == pytest.approx(wanted, abs=close)


def test_a_column_that_never_changes_is_behind_every_other() -> None:
    _, labels = draw(100, 2)
    alone = information(NUMBER, label_counts(pa.chunked_array([pa.array([7.0] * 100)]), labels), 2)
    halves = np.arange(100) % 2 * 1.0
    useless = np.repeat([0, 1], 50).astype(np.uint8)
    other = information(NUMBER, label_counts(pa.chunked_array([pa.array(halves)]), useless), 2)
    assert alone[0] == alone[1] == -0.005
    assert other[0] == -0.005  # exactly independent


def test_partitions_of_any_sizes_in_any_order_have_the_same_information() -> None:
    rng, labels = draw(2000, 3)
    values = pa.array(rng.normal(labels, 2.0), mask=rng.random(2000) < 0.1)
    whole = label_counts(pa.chunked_array([values]), labels)
    parts = [label_counts(pa.chunked_array([values[low:high]]), labels[low:high])
             for low, high in ((1500, 2000), (3, 1500), (0, 3), (3, 3))]
    assert information(NUMBER, merge_counts(parts), 3) == information(NUMBER, whole, 3)


def test_the_best_of_all_columns_are_kept_and_of_equal_ones_the_first() -> None:
    entries = [{"field": "a"}, {"field": "b"}, {"field": "c"}]
    chosen = choose_best(entries, [[0.1, 0.2], [0.2, 0.0, 0.3], [0.1]], 4)
    assert chosen == [{"field": "a", "kept": [0, 1], "information": [0.1, 0.2]},
                      {"field": "b", "kept": [0, 2], "information": [0.2, 0.3]},
                      {"field": "c", "kept": [], "information": []}]
