"""Word ids of any length to rows of fixed length."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from reviews.compiled.functions import inlined, kernel
from reviews.text.bits import prefetch
from reviews.vocabulary import Coding

Array = np.ndarray
_AHEAD = 6  # rows that memory is asked for before they are needed
_LINES = 4  # of 64 bytes: most of a review


@dataclass(frozen=True)
class Ragged:
    """Word ids of n rows, in any order and with gaps, in numberings of several kinds.

    Row i has values[first[i]:first[i] + size[i]]. An id k below `common` is number k of all
    kinds, another one number base[i] + k.
    """

    values: Array  # (words,) uint16 or int32
    first: Array  # (n,) int64
    size: Array  # (n,) int32
    base: Array  # (n,) int64
    common: int = 0

    @classmethod
    def of(cls, values: Array, ends: Array) -> "Ragged":
        """Rows one behind the other, ending at `ends` (n,), in one numbering."""
        first = np.zeros_like(ends)
        first[1:] = ends[:-1]
        return cls(values, first, (ends - first).astype(np.int32), np.zeros_like(ends))

    def take(self, rows: Array | slice) -> "Ragged":
        """The chosen rows, in that order; the ids stay where they are."""
        return Ragged(self.values, self.first[rows], self.size[rows], self.base[rows],
                      self.common)

    def row(self, row: int) -> Array:
        """The numbers (k,) int64 of one row."""
        first = int(self.first[row])
        ids: Array = self.values[first : first + int(self.size[row])].astype(np.int64)
        ids[ids >= self.common] += self.base[row]
        return ids

    def parts(self) -> tuple[Array, Array, Array, Array, int]:
        """Arrays of the kernels."""
        return self.values, self.first, self.size, self.base, self.common


@inlined
def _look_ahead(values: Array, first: int) -> None:
    """Ask for the row that begins there and comes soon: rows lie anywhere, so that otherwise
    each one is waited for."""
    for line in range(_LINES):
        prefetch(values, first + line * (64 // values.itemsize))


@inlined
def _number(word: Any, base: Any, common: Any) -> Any:
    """The number of a word's id (`Ragged`)."""
    number = np.int64(word)
    return number + base if number >= common else number


@kernel(returns=int)
def _cut(
    ids: Array, firsts: Array, sizes: Array, bases: Array, common: int, numbers: Array, head: int,
    unknown_id: int, before: int, width: int, tokens: Array, length: Array,
) -> int:
    unknown = 0
    for row in range(firsts.size):
        if row + _AHEAD < firsts.size:
            _look_ahead(ids, firsts[row + _AHEAD])
        size = np.int64(sizes[row])
        words = ids[firsts[row] : firsts[row] + size]
        base = bases[row]
        kept: Any = min(size, width)
        length[row] = kept
        # The head comes from the front, the rest from the end of the review.
        front = kept if size <= width else head
        skipped = size - kept
        for k in range(front):
            number = numbers[_number(words[k], base, common)]
            tokens[row, before + k] = number
            unknown += number == unknown_id
        for k in range(front, kept):
            number = numbers[_number(words[skipped + k], base, common)]
            tokens[row, before + k] = number
            unknown += number == unknown_id
        for k in range(front, front + skipped):
            unknown += numbers[_number(words[k], base, common)] == unknown_id
    return unknown


def cut(
    ids: Ragged, numbers: Array, length: int, keep: str, coding: Coding
) -> tuple[Array, Array, int]:
    """Rows of any length as tokens (n, length) right-padded, ids kept (n,) uint16, and how many
    of all their words, before the cut, are unknown.

    numbers (of all kinds,) are what the ids become. keep "head" takes the first words that fit;
    "head+tail" the first and the last halves. What the coding puts around a review is inside of
    the length.
    """
    before, room = len(coding.prefix), room_for_words(length, coding)
    rows = len(ids.first)
    tokens = np.full((rows, length), coding.padding, coding.dtype)
    kept = np.empty(rows, np.uint16)
    head = room if keep == "head" else (room + 1) // 2
    unknown = _cut(*ids.parts(), numbers, head, coding.unknown, before, room, tokens, kept)
    if before + len(coding.suffix):
        tokens[:, :before] = coding.prefix
        for place, number in enumerate(coding.suffix):
            tokens[np.arange(rows), before + kept + place] = number
        kept += np.uint16(before + len(coding.suffix))
    return tokens, kept, unknown


def room_for_words(length: int, coding: Coding) -> int:
    """Number of words of a review that a row has room for."""
    return length - len(coding.prefix) - len(coding.suffix)


@kernel()
def _gather(values: Array, ends: Array, rows: Array, out: Array) -> None:
    n = 0
    for i in range(rows.size):
        row = rows[i]
        if i + _AHEAD < rows.size:
            _look_ahead(values, ends[rows[i + _AHEAD] - 1] if rows[i + _AHEAD] > 0 else 0)
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


@kernel(returns=int)
def _compact(
    values: Array, firsts: Array, sizes: Array, numbers: Array, first_own: int, used: Array,
    out: Array,
) -> int:
    n = count = 0
    for row in range(firsts.size):
        if row + _AHEAD < firsts.size:
            _look_ahead(values, firsts[row + _AHEAD])
        for k in range(firsts[row], firsts[row] + sizes[row]):
            value = values[k]
            if numbers[value] < 0:
                numbers[value] = first_own + count
                used[count] = value
                count += 1
            out[n] = numbers[value]
            n += 1
    for i in range(count):
        numbers[used[i]] = -1
    return count


class Compactor:
    """Gives rows of ids numbers of their own, as few as they have words without a common one."""

    def __init__(self, common: Array, first_own: int) -> None:
        """common (ids,) int32: the common number of an id, all below `first_own`, or -1."""
        self.numbers, self.first_own = common.copy(), first_own
        self.used = np.empty(len(common), np.int64)

    def compact(self, rows: Ragged) -> tuple[Array, Array]:
        """The new ids of all rows, one behind the other, and the old id of each own number.

        The new ones are uint16 where they can be, else int32.
        """
        out = np.empty(int(rows.size.sum()), np.int32)
        count = _compact(rows.values, rows.first, rows.size, self.numbers, self.first_own,
                         self.used, out)
        small = out.astype(np.uint16) if self.first_own + count <= 1 << 16 else out
        return small, self.used[:count].copy()


@kernel()
def count_ids(
    values: Array, firsts: Array, sizes: Array, bases: Array, common: int, counts: Array
) -> None:
    """Add to counts (of all kinds,) the occurrences of each number in rows (`Ragged.parts`)."""
    for row in range(firsts.size):
        base = bases[row]
        for k in range(firsts[row], firsts[row] + sizes[row]):
            counts[_number(values[k], base, common)] += 1
