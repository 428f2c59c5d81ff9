"""Word ids of any length to rows of fixed length."""

import numpy as np
import pyarrow as pa
from numba import njit

from reviews.bits import prefetch
from reviews.vocabulary import Coding

Array = np.ndarray
_AHEAD = 6  # rows that memory is asked for before they are needed
_LINES = 4  # of 64 bytes: most of a review


@njit(cache=True, inline="always")
def _look_ahead(values: Array, ends: Array, rows: Array, i: int) -> None:
    """Ask for a row that comes soon after rows[i]: they lie anywhere, so that otherwise each one
    is waited for."""
    if i + _AHEAD < rows.size:
        row = rows[i + _AHEAD]
        first = ends[row - 1] if row > 0 else 0
        for line in range(_LINES):
            prefetch(values, first + line * (64 // values.itemsize))


@njit(cache=True, nogil=True)
def _cut(
    ids: Array, ends: Array, rows: Array, numbers: Array, head: int, unknown_id: int,
    tokens: Array, length: Array,
) -> int:
    size = tokens.shape[1]
    unknown = 0
    for out in range(rows.size):
        row = rows[out]
        _look_ahead(ids, ends, rows, out)
        words = ids[ends[row - 1] if row > 0 else 0 : ends[row]]
        kept = min(words.size, size)
        length[out] = kept
        # The head comes from the front, the rest from the end of the review.
        front = kept if words.size <= size else head
        skipped = words.size - kept
        for k in range(front):
            number = numbers[words[k]]
            tokens[out, k] = number
            unknown += number == unknown_id
        for k in range(front, kept):
            number = numbers[words[skipped + k]]
            tokens[out, k] = number
            unknown += number == unknown_id
        for k in range(front, front + skipped):
            unknown += numbers[words[k]] == unknown_id
    return unknown


def cut(
    ids: Array, ends: Array, rows: Array, words: pa.Array, length: int, keep: str, coding: Coding
) -> tuple[Array, Array, int]:
    """Rows of a ragged array as tokens (n, length) right-padded, ids kept (n,) uint16, and how
    many of all their words, before the cut, are unknown.

    words are what the ids stand for. keep "head" takes the first words that fit; "head+tail"
    the first and the last halves. What the coding puts around a review is inside of the length.
    """
    before, room = len(coding.prefix), room_for_words(length, coding)
    tokens = np.full((len(rows), length), coding.padding, coding.dtype)
    kept = np.empty(len(rows), np.uint16)
    head = room if keep == "head" else (room + 1) // 2
    unknown = _cut(ids, ends, rows, coding.numbers(words), head, coding.unknown,
                   tokens[:, before : before + room], kept)
    if before + len(coding.suffix):
        tokens[:, :before] = coding.prefix
        for place, number in enumerate(coding.suffix):
            tokens[np.arange(len(rows)), before + kept + place] = number
        kept += np.uint16(before + len(coding.suffix))
    return tokens, kept, unknown


def room_for_words(length: int, coding: Coding) -> int:
    """How many words of a review a row has room for."""
    return length - len(coding.prefix) - len(coding.suffix)


@njit(cache=True, nogil=True)
def _gather(values: Array, ends: Array, rows: Array, out: Array) -> None:
    n = 0
    for i in range(rows.size):
        row = rows[i]
        _look_ahead(values, ends, rows, i)
        source = values[ends[row - 1] if row > 0 else 0 : ends[row]]
        target = out[n : n + source.size]
        for k in range(source.size):
            target[k] = source[k]
        n += source.size


def gather(values: Array, ends: Array, rows: Array) -> tuple[Array, Array]:
    """The chosen rows of a ragged array, in that order: values and ends."""
    sizes = np.diff(ends, prepend=0)[rows]
    new_ends = np.cumsum(sizes, dtype=np.int64)
    out = np.empty(int(new_ends[-1]) if len(rows) else 0, values.dtype)
    _gather(values, ends, np.ascontiguousarray(rows, np.int64), out)
    return out, new_ends


@njit(cache=True, nogil=True)
def _gather_compact(
    values: Array, ends: Array, rows: Array, numbers: Array, used: Array, out: Array
) -> int:
    n = count = 0
    for i in range(rows.size):
        row = rows[i]
        _look_ahead(values, ends, rows, i)
        for k in range(ends[row - 1] if row > 0 else 0, ends[row]):
            value = values[k]
            if numbers[value] < 0:
                numbers[value] = count
                used[count] = value
                count += 1
            out[n] = numbers[value]
            n += 1
    for i in range(count):
        numbers[used[i]] = -1
    return count


class Compactor:
    """Takes rows out of a ragged array of ids below `size`, with ids of their own."""

    def __init__(self, size: int) -> None:
        self.numbers = np.full(size, -1, np.int32)
        self.used = np.empty(size, np.int64)
        self.dtype = np.dtype(np.uint16 if size <= 1 << 16 else np.int32)

    def gather(self, values: Array, ends: Array, rows: Array) -> tuple[Array, Array, Array]:
        """The chosen rows, in that order: values, ends, and the old id of each new one."""
        new_ends = np.cumsum(np.diff(ends, prepend=0)[rows], dtype=np.int64)
        out = np.empty(int(new_ends[-1]) if len(rows) else 0, self.dtype)
        rows = np.ascontiguousarray(rows, np.int64)
        count = _gather_compact(values, ends, rows, self.numbers, self.used, out)
        return out, new_ends, self.used[:count].copy()


@njit(cache=True, nogil=True)
def renumber(values: Array, numbers: Array, out: Array) -> None:
    """out[i] = numbers[values[i]], where all values (n,) are at least 0.

    numpy's take would make 64-bit indices of them first.
    """
    for i in range(values.size):
        out[i] = numbers[np.uint32(values[i])]


@njit(cache=True, nogil=True)
def count_ids(values: Array, ends: Array, rows: Array, counts: Array) -> None:
    """Add to counts (words,) how often each id occurs in the chosen rows."""
    for i in range(rows.size):
        row = rows[i]
        for k in range(ends[row - 1] if row > 0 else 0, ends[row]):
            counts[values[k]] += 1
