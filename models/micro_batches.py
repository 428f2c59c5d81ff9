"""Micro-batches: reviews sorted by length, in pieces of bounded padded tokens."""

from bisect import bisect_right

import numpy as np

Array = np.ndarray


def micro_batches(lengths: Array, max_tokens: int) -> Array:
    """Cut rows, sorted by length, greedily into pieces of at most max_tokens padded tokens.

    Args:
        lengths: (n,) ascending, each >= 1.
        max_tokens: a piece of one row may be longer than this.

    Returns:
        Boundaries (pieces + 1,) int64, from 0 to n.
    """
    bounds, sizes = [0], lengths.tolist()
    while bounds[-1] < len(sizes):
        bounds.append(bounds[-1] + max(1, _fitting(sizes, bounds[-1], max_tokens)))
    return np.array(bounds, np.int64)


def _fitting(sizes: list[int], first: int, max_tokens: int) -> int:
    """Number of rows from the first on that make at most max_tokens padded tokens together."""
    # No more than if all were as short as the first.
    most = min(len(sizes) - first, max_tokens // sizes[first])
    return bisect_right(range(1, most + 1), max_tokens,
                        key=lambda rows: rows * sizes[first + rows - 1])


def prefix_cost(lengths: Array, max_tokens: int) -> Array:
    """Padded tokens of the first i rows, for i = 0..n: (n + 1,) int64, strictly increasing."""
    bounds = micro_batches(lengths, max_tokens)
    longest = np.repeat(lengths[bounds[1:] - 1], np.diff(bounds))
    return np.concatenate([[0], np.cumsum(longest, dtype=np.int64)])
