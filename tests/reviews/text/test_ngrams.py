"""Rows of words and n-grams are those of training."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.nets.bag import NgramTable
from reviews.text.ngrams import find_rows, mean_rows, padded_rows, row_counts

WORDS, BUCKETS = 70_000, 97


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, WORDS - 1), min_size=1, max_size=9), min_size=1,
                max_size=6), st.integers(1, 4), st.sampled_from([np.uint16, np.uint32, np.int32]))
def test_the_kernel_finds_the_rows_that_training_reads(
    reviews: list[list[int]], ngrams: int, type: type
) -> None:
    lengths = np.array([len(review) for review in reviews], np.int32)
    tokens = np.zeros((len(reviews), int(lengths.max())), type)
    for row, review in enumerate(reviews):
        tokens[row, : len(review)] = np.array(review, np.int64).astype(type)
    table = NgramTable(WORDS, ngrams, BUCKETS, 2)
    for row, length in enumerate(lengths.tolist()):
        alone = torch.from_numpy(tokens[row : row + 1, :length].astype(np.int64))
        ids, counts = table.ids(alone, torch.tensor([length]))
        rows, weights = padded_rows(tokens[row : row + 1], lengths[row : row + 1], WORDS, ngrams,
                                    BUCKETS)
        assert rows[0].tolist() == ids.tolist()
        np.testing.assert_allclose(weights[0], 1 / counts.item(), rtol=1e-6)


def test_padding_has_no_weight() -> None:
    rows, weights = padded_rows(np.array([[5, 6, 7], [8, 0, 0]], np.uint16),
                                np.array([3, 1], np.uint16), WORDS, 2, BUCKETS)
    assert rows.shape == weights.shape == (2, 5)
    assert rows[1].tolist() == [8, 0, 0, 0, 0]
    assert weights[1].tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("columns", [1, 3])
def test_means_are_those_of_each_reviews_rows(columns: int) -> None:
    tokens, lengths = np.array([[1, 2, 3], [4, 0, 0]], np.uint16), np.array([3, 1], np.uint16)
    ends = np.cumsum(row_counts(lengths, 3))
    rows = np.empty(ends[-1], np.int32)
    find_rows(tokens, lengths, 10, 3, 5, rows, np.concatenate([[0], ends[:-1]]))
    table = np.random.default_rng(0).normal(size=(15, columns)).astype(np.float32)
    means = np.empty((2, columns), np.float32)
    mean_rows(rows, ends, table, means)
    np.testing.assert_allclose(means[0], table[rows[:6]].mean(0), rtol=1e-5)
    np.testing.assert_allclose(means[1], table[4], rtol=1e-6)
