"""Word ids of any length to rows of fixed length."""

import numpy as np
from numba import njit

from reviews.vocabulary import PADDING

Array = np.ndarray


@njit(cache=True, nogil=True)
def _cut(ids: Array, ends: Array, rows: Array, head: int, tokens: Array, length: Array) -> None:
    size = tokens.shape[1]
    for out in range(rows.size):
        row = rows[out]
        begin = ends[row - 1] if row > 0 else 0
        n = ends[row] - begin
        kept = min(n, size)
        length[out] = kept
        for k in range(kept):
            # The head comes from the front, the rest from the end of the review.
            tokens[out, k] = ids[begin + k] if n <= size or k < head else ids[begin + n - size + k]


def cut(
    ids: Array, ends: Array, rows: Array, length: int, keep: str, dtype: np.dtype
) -> tuple[Array, Array]:
    """Rows of a ragged array as tokens (n, length) right-padded, and ids kept (n,) uint16.

    keep "head" takes the first `length` words; "head+tail" the first and the last halves.
    """
    tokens = np.full((len(rows), length), PADDING, dtype)
    kept = np.empty(len(rows), np.uint16)
    head = length if keep == "head" else (length + 1) // 2
    _cut(ids, ends, rows, head, tokens, kept)
    return tokens, kept


@njit(cache=True, nogil=True)
def _gather(values: Array, ends: Array, rows: Array, out: Array) -> None:
    n = 0
    for i in range(rows.size):
        row = rows[i]
        for k in range(ends[row - 1] if row > 0 else 0, ends[row]):
            out[n] = values[k]
            n += 1


def gather(values: Array, ends: Array, rows: Array) -> tuple[Array, Array]:
    """The chosen rows of a ragged array, in that order: values and ends."""
    sizes = np.diff(ends, prepend=0)[rows]
    new_ends = np.cumsum(sizes, dtype=np.int64)
    out = np.empty(int(new_ends[-1]) if len(rows) else 0, values.dtype)
    _gather(values, ends, np.ascontiguousarray(rows, np.int64), out)
    return out, new_ends
