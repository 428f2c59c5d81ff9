"""Rows of CSV in raw bytes: where they begin and end, and quotes that are no quoting."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reviews.corpora.stretches import Spans, newline_places
from reviews.corpora.utf8 import compiled

LONGEST_FIELD = 1 << 20  # bytes between quotes; longer ones were never closed
GOES_ON, BROKEN = -1, -2
_SAMPLE = 256  # values of a column that are compared
_FREQUENT = 0.01  # share of lines that have a value


@dataclass(frozen=True)
class RowSample:
    """Signs by which a line is known as a row: its number of columns, and values (bytes, end to
    end, and their bounds) that one column had in the file's first rows. A width of 0: no signs.
    """

    width: int
    column: int
    values: NDArray[np.uint8]
    bounds: NDArray[np.int64]

    @classmethod
    def of(
        cls, rows: list[list[str]], lines: list[list[str]], width: int, column: int
    ) -> "RowSample":
        """From rows as Python's csv module reads them, and lines cut without a look at quotes.

        Those of another width do not count. Stray quotes may have swallowed all of the rows;
        lines may be pieces of texts: only their frequent values count.
        """
        values = {row[column] for row in rows if len(row) == width}
        more = Counter(line[column] for line in lines if len(line) == width)
        values |= {value for value, n in more.items() if n > 1 and n >= _FREQUENT * more.total()}
        some = sorted(value.encode() for value in values - {""})[:_SAMPLE]
        return cls(width if some else 0, column, np.frombuffer(b"".join(some), np.uint8),
                   np.cumsum([0, *map(len, some)], dtype=np.int64))


NO_SAMPLE = RowSample(0, 0, np.zeros(0, np.uint8), np.zeros(1, np.int64))


@compiled
def field_end(data, i, size, delimiter, longest, quote=34):
    """The index of the delimiter or line end after the field at i, or GOES_ON or BROKEN."""
    if i < size and data[i] == quote:
        first = i
        i += 1
        while True:
            while i < size and data[i] != 34 and i - first <= longest:
                i += 1
            if i < size and i - first > longest:
                return BROKEN
            if i + 1 >= size:  # a closing quote is known by what follows it
                return GOES_ON if i >= size else size
            if data[i + 1] != 34:
                break
            i += 2
        i += 1
        if data[i] == delimiter or data[i] == 10:
            return i
        if data[i] == 13 and (i + 1 == size or data[i + 1] == 10):
            return i
        return BROKEN
    while i < size and data[i] != delimiter and data[i] != 10:
        i += 1
    return i


@compiled
def bare_end(data, i, end, delimiter):
    """The index of the delimiter after the field at i, whose quotes are text, or the end."""
    while i < end and data[i] != delimiter:
        i += 1
    return i


@compiled
def _is_one_of(data, i, end, values, bounds):
    """True when data[i:end] is one of the values."""
    for value in range(bounds.size - 1):
        if bounds[value + 1] - bounds[value] == end - i:
            same = True
            for j in range(end - i):
                if data[i + j] != values[bounds[value] + j]:
                    same = False
                    break
            if same:
                return True
    return False


@compiled
def _is_row(data, i, end, delimiter, width, column, values, bounds):
    """True when the line data[i:end] is a row by itself, with the signs of a RowSample."""
    if end > i and data[end - 1] == 13:
        end -= 1
    fits = False
    for field in range(width):
        after = field_end(data, i, end, delimiter, end)
        quoted = after >= 0 and i < after and data[i] == 34
        if after < 0:
            after = bare_end(data, i, end, delimiter)
        if field == column:
            fits = _is_one_of(data, i + quoted, after - quoted, values, bounds)
        if after >= end:
            return fits and field == width - 1
        i = after + 1
    return False


@compiled
def _swallows(data, first, end, newlines, p, delimiter, width, column, values, bounds):
    """True when the row data[first:end], of which newlines[p] is the first newline, is several
    rows that stray quotes make one: its first and its last line, and half of the others, are
    rows by themselves."""
    if not _is_row(data, first, newlines[p], delimiter, width, column, values, bounds):
        return False
    last = p
    while last + 1 < newlines.size and newlines[last + 1] < end:
        last += 1
    if not _is_row(data, newlines[last] + 1, end, delimiter, width, column, values, bounds):
        return False
    rows = 0
    for q in range(p, last):
        rows += _is_row(data, newlines[q] + 1, newlines[q + 1], delimiter, width, column,
                        values, bounds)
    return 2 * rows >= last - p


@compiled
def _find(data, final, delimiter, longest, newlines, width, column, values, bounds, starts, ends):
    """Fill in the spans of rows, without their line ends; (number of rows, bytes used)."""
    size = data.size
    n = 0
    i = 0
    p = 0  # the first newline from the row's start on
    while i < size:
        first = i
        while True:
            i = field_end(data, i, size, delimiter, longest)
            if i < 0 or i >= size or data[i] != delimiter:
                break
            i += 1
        if i == GOES_ON and final:
            i = BROKEN
        if i == GOES_ON:
            return n, first
        while p < newlines.size and newlines[p] < first:
            p += 1
        if i == BROKEN:
            i = newlines[p] if p < newlines.size else size
        elif i < size and data[i] == 13:
            i += 1
        if i >= size and not final:
            return n, first
        if (width > 0 and p < newlines.size and newlines[p] < i
                and _swallows(data, first, i, newlines, p, delimiter, width, column, values,
                              bounds)):
            i = newlines[p]
        end = i
        if end > first and data[end - 1] == 13:
            end -= 1
        if end > first:
            starts[n] = first
            ends[n] = end
            n += 1
        i += 1
    return n, size


def find_rows(
    data: bytes, final: bool, delimiter: str, sample: RowSample = NO_SAMPLE
) -> tuple[Spans, Spans, int]:
    """First bytes and ends of the rows that are whole in data, and the bytes used up.

    With a sample, a line whose quotes would swallow rows is a row itself.
    """
    codes = np.frombuffer(data, np.uint8)
    newlines = newline_places(codes)
    starts, ends = np.empty((2, len(newlines) + 1), np.int64)
    n, used = _find(
        codes, final, ord(delimiter), LONGEST_FIELD, newlines,
        sample.width, sample.column, sample.values, sample.bounds, starts, ends,
    )  # fmt: skip
    return starts[:n], ends[:n], used
