"""CSV quoted as in RFC 4180: quotes doubled inside, newlines allowed in quotes (or not).

A row whose quoting is broken (text after a closing quote, or a quote that is never closed)
costs its own first line: reading goes on at the next one, so that a stray quote does not
swallow the rows up to the next quote.
"""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reviews.corpora.columns import CODE, Column, string_array, string_column
from reviews.corpora.csv_layout import read_layout
from reviews.corpora.fields import choose_names
from reviews.corpora.stretches import Spans, find_lines
from reviews.corpora.utf8 import compiled, utf8_valid
from reviews.recipe import Recipe

LONGEST_FIELD = 1 << 20  # bytes between quotes; longer ones were never closed
_GOES_ON, _BROKEN = -1, -2
_INVALID_UTF8 = CODE["invalid_utf8"]
_WRONG_COLUMNS = CODE["wrong_columns"]


@compiled
def _field_end(data, i, size, delimiter, longest, quote=34):
    """The index of the delimiter or line end after the field at i, or _GOES_ON or _BROKEN."""
    if i < size and data[i] == quote:
        first = i
        i += 1
        while True:
            while i < size and data[i] != 34 and i - first <= longest:
                i += 1
            if i < size and i - first > longest:
                return _BROKEN
            if i + 1 >= size:  # a closing quote is known by what follows it
                return _GOES_ON if i >= size else size
            if data[i + 1] != 34:
                break
            i += 2
        i += 1
        if data[i] == delimiter or data[i] == 10:
            return i
        if data[i] == 13 and (i + 1 == size or data[i + 1] == 10):
            return i
        return _BROKEN
    while i < size and data[i] != delimiter and data[i] != 10:
        i += 1
    return i


@compiled
def _find(data, final, delimiter, longest, starts, ends):
    """Fill in the spans of rows, without their line ends; (number of rows, bytes used)."""
    size = data.size
    n = 0
    i = 0
    while i < size:
        first = i
        while True:
            i = _field_end(data, i, size, delimiter, longest)
            if i < 0 or i >= size or data[i] != delimiter:
                break
            i += 1
        if i == _GOES_ON and final:
            i = _BROKEN
        if i == _GOES_ON:
            return n, first
        if i == _BROKEN:
            i = first
            while i < size and data[i] != 10:
                i += 1
        elif i < size and data[i] == 13:
            i += 1
        if i >= size and not final:
            return n, first
        end = i
        if end > first and data[end - 1] == 13:
            end -= 1
        if end > first:
            starts[n] = first
            ends[n] = end
            n += 1
        i += 1
    return n, size


@compiled
def _scan(data, starts, ends, delimiter, quote, width, fields, reasons, out, filled, bounds):
    """Write the wanted fields of each row; fields (width) says which column is which, or -1."""
    before = np.zeros_like(filled)
    for row in range(starts.size):
        end = ends[row]
        i = starts[row]
        before[:] = filled
        column = 0
        broken = False
        while True:
            after = _field_end(data, i, end, delimiter, data.size, quote)
            if after < 0 or (after < end and data[after] != delimiter):
                broken = True
                break
            f = fields[column] if column < width else -1
            if f >= 0 and i < after and data[i] == quote:
                i += 1
                while i < after - 1:
                    out[f, filled[f]] = data[i]
                    filled[f] += 1
                    i += 2 if data[i] == 34 else 1
            elif f >= 0:
                out[f, filled[f] : filled[f] + after - i] = data[i:after]
                filled[f] += after - i
            column += 1
            if after >= end:
                break
            i = after + 1
        if not utf8_valid(data, starts[row], end):
            reasons[row] = _INVALID_UTF8
        elif broken or column != width:
            reasons[row] = _WRONG_COLUMNS
        if reasons[row]:
            filled[:] = before
        for f in range(filled.size):
            bounds[f, row + 1] = filled[f]


class Csv:
    """Reads the wanted columns of each row; the header or the recipe says which they are."""

    def __init__(self, path: str, recipe: Recipe, at_start: bool = True) -> None:
        self._layout = read_layout(path, recipe)
        header = self._layout.names
        if self._layout.bare and header[0] == "label" and not recipe.rating_field:
            recipe = dataclasses.replace(recipe, label_field=recipe.label_field or "label")
        names = choose_names(path, recipe, [dict.fromkeys(header, "")] if header else []).roles()
        self.labelled = "label" in names
        self._bare_labels = self._layout.bare and not recipe.label_values
        wanted = sorted(set(names.values()))
        self._place = {role: wanted.index(name) for role, name in names.items()}
        self._fields = np.full(len(header), -1, np.int64)
        for place, name in enumerate(wanted):
            if name in header:
                self._fields[header.index(name)] = place
        self._wanted = len(wanted)
        self._quote = 34 if recipe.quotes else -1
        self._lines = rows_are_lines(recipe)
        self._before_header = at_start and self._layout.header

    def find(self, data: bytes, final: bool) -> tuple[Spans, Spans, int]:
        """The rows that are whole in data, without the header; to be called in file order."""
        if self._lines:
            starts, ends, used = find_lines(data, final)
            ends = np.where(np.frombuffer(data + b" ", np.uint8)[ends - 1] == 13, ends - 1, ends)
        else:
            starts, ends, used = find_rows(data, final, self._layout.delimiter)
        if self._before_header and len(starts):
            self._before_header = False
            return starts[1:], ends[1:], used
        return starts, ends, used

    def parse(
        self, data: bytes, starts: Spans, ends: Spans
    ) -> tuple[dict[str, Column], NDArray[np.uint8]]:
        """Columns by part of the review, and for each row (n) why it cannot be read, or 0."""
        n, room = len(starts), int((ends - starts).sum()) + 1
        reasons = np.zeros(n, np.uint8)
        out = np.empty((self._wanted, room), np.uint8)
        bounds = np.zeros((self._wanted, n + 1), np.int32)
        _scan(
            np.frombuffer(data, np.uint8), starts, ends, ord(self._layout.delimiter), self._quote,
            len(self._fields), self._fields, reasons, out, np.zeros(self._wanted, np.int64), bounds,
        )  # fmt: skip
        strings = [string_array(n, bounds[f], out[f]) for f in range(self._wanted)]
        if self._layout.bare:
            for role, place in self._place.items():
                if role in ("title", "text"):
                    strings[place] = pc.replace_substring(strings[place], "\\n", "\n")
                elif role == "label" and self._bare_labels:
                    strings[place] = _class_words(strings[place])
        columns = list(map(string_column, strings))
        return {role: columns[place] for role, place in self._place.items()}, reasons


def _class_words(labels: pa.StringArray) -> pa.StringArray:
    """The labels with 1 and 2, the classes of Amazon polarity, as words."""
    for number, word in (("1", "negative"), ("2", "positive")):
        labels = pc.if_else(pc.equal(pc.utf8_trim_whitespace(labels), number), word, labels)
    return labels


def rows_are_lines(recipe: Recipe) -> bool:
    """Whether no row goes over the end of its line."""
    return not (recipe.quotes and recipe.quoted_newlines)


def find_rows(data: bytes, final: bool, delimiter: str) -> tuple[Spans, Spans, int]:
    """First bytes and ends of the rows that are whole in data, and the bytes used up."""
    room = data.count(b"\n") + 1
    starts, ends = np.empty(room, np.int64), np.empty(room, np.int64)
    codes = np.frombuffer(data, np.uint8)
    n, used = _find(codes, final, ord(delimiter), LONGEST_FIELD, starts, ends)
    return starts[:n], ends[:n], used
