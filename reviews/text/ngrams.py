"""Rows of a table that a review's words and n-grams have (docs/bundle-format.md, bag)."""

from typing import Any

import numpy as np

from reviews.compiled.functions import compiled, inlined
from reviews.hashing import FIRST, GOLDEN, SECOND
from reviews.text.bits import prefetch

Array = np.ndarray
_AHEAD = 24  # rows that memory is asked for before they are needed

_GOLDEN, _FIRST, _SECOND = np.uint64(GOLDEN), np.uint64(FIRST), np.uint64(SECOND)


@inlined
def _mix(value: Any) -> Any:
    """SplitMix64's output function."""
    value = (value ^ value >> np.uint64(30)) * _FIRST
    value = (value ^ value >> np.uint64(27)) * _SECOND
    return value ^ value >> np.uint64(31)


def row_counts(lengths: Array, ngrams: int) -> Array:
    """Number (n,) int64 of words and n-grams of reviews of these lengths (n,)."""
    sizes = lengths.astype(np.int64)
    orders = range(min(ngrams, int(sizes.max(initial=0))))
    return sum((np.maximum(sizes - order, 0) for order in orders), np.zeros_like(sizes))


@compiled(nogil=True)
def find_rows(
    tokens: Array, lengths: Array, words: int, ngrams: int, buckets: int, rows: Array,
    starts: Array,
) -> None:
    """Write the rows of each review, words first, from rows[starts[i]] (flat, int32) on.

    Args:
        tokens: (n, T), of which the first lengths[i] are the review's.
        words: number of rows that words have; those of n-grams follow.
        ngrams: words of the longest n-grams.
        buckets: number of rows that n-grams are hashed into.
    """
    keys = np.empty(tokens.shape[1], np.uint64)
    for i in range(lengths.size):
        size = lengths[i]
        n = starts[i]
        for k in range(size):
            keys[k] = np.uint64(tokens[i, k])
            rows[n] = np.int32(tokens[i, k])
            n += 1
        for order in range(1, min(ngrams, size)):
            for k in range(size - order):
                key = _mix(keys[k] * _GOLDEN + np.uint64(tokens[i, k + order]))
                keys[k] = key
                rows[n] = np.int32(words + np.int64((key >> np.uint64(33)) % np.uint64(buckets)))
                n += 1


def padded_rows(
    tokens: Array, lengths: Array, words: int, ngrams: int, buckets: int
) -> tuple[Array, Array]:
    """Rows (n, K) int32 of the reviews, right-padded with 0, and their weights (n, K) float32:
    1 / number of the review's rows, and 0 for padding. ngrams is 1 or more."""
    assert ngrams >= 1
    counts = row_counts(lengths, ngrams)
    width = int(counts.max(initial=0))
    rows = np.zeros((len(counts), width), np.int32)
    find_rows(tokens, lengths, words, ngrams, max(1, buckets), rows.reshape(-1),
              np.arange(len(counts), dtype=np.int64) * width)
    weights = np.where(np.arange(width) < counts[:, None],
                       np.float32(1) / counts[:, None].astype(np.float32), np.float32(0))
    return rows, weights


@compiled(nogil=True)
def mean_rows(rows: Array, ends: Array, table: Array, means: Array) -> None:
    """Means (n, C) of the table's rows (R, C); review i has rows[ends[i - 1]:ends[i]]."""
    columns = table.shape[1]
    flat = table.reshape(-1)
    begin = 0
    for i in range(ends.size):
        for c in range(columns):
            means[i, c] = 0
        for k in range(begin, ends[i]):
            # Rows lie anywhere in a large table, so that otherwise each one is waited for.
            if k + _AHEAD < rows.size:
                prefetch(flat, np.int64(rows[k + _AHEAD]) * columns)
            for c in range(columns):
                means[i, c] += flat[np.int64(rows[k]) * columns + c]
        for c in range(columns):
            means[i, c] /= np.float32(ends[i] - begin)
        begin = ends[i]
