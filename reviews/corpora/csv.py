"""CSV quoted as in RFC 4180: quotes doubled inside, newlines allowed in quotes (or not).

A row whose quoting is broken (text after a closing quote, or a quote that is never closed)
costs its own first line: reading goes on at the next one, so that a stray quote does not
swallow the rows up to the next quote. With the recipe's `literal_stray_quotes` the quotes of
that line are text, and so are those that would make one field of whole rows.
"""


import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reviews.corpora.columns import CODE, Column, string_array, string_column
from reviews.corpora.csv_layout import read_layout
from reviews.corpora.csv_rows import (
    NO_SAMPLE,
    RowSample,
    bare_end,
    field_end,
    find_rows,
)
from reviews.corpora.fields import FOR_TRAINING, Reading, choose_names
from reviews.corpora.stretches import Spans, find_lines
from reviews.corpora.utf8 import compiled, utf8_valid
from reviews.options import replace_flat
from reviews.recipe import Recipe

_INVALID_UTF8 = CODE["invalid_utf8"]
_WRONG_COLUMNS = CODE["wrong_columns"]


@compiled
def _scan(
    data, starts, ends, delimiter, quote, literal, width, fields, reasons, out, filled, bounds
):  # fmt: skip
    """Write the wanted fields of each row; fields (width) says which column is which, or -1.

    literal: quotes that are broken are text.
    """
    before = np.zeros_like(filled)
    for row in range(starts.size):
        end = ends[row]
        i = starts[row]
        before[:] = filled
        column = 0
        broken = False
        while True:
            after = field_end(data, i, end, delimiter, data.size, quote)
            bad = after < 0 or (after < end and data[after] != delimiter)
            if bad and not literal:
                broken = True
                break
            if bad:
                after = bare_end(data, i, end, delimiter)
            f = fields[column] if column < width else -1
            if f >= 0 and i < after and data[i] == quote and not bad:
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

    def __init__(
        self, path: str, recipe: Recipe, reading: Reading = FOR_TRAINING, at_start: bool = True
    ) -> None:
        self._layout = read_layout(path, recipe.input)
        header = self._layout.names
        if self._layout.bare and header[0] == "label" and not recipe.input.rating_field:
            recipe = replace_flat(recipe, label_field=recipe.input.label_field or "label")
        names = choose_names(
            path, recipe, [dict.fromkeys(header, "")] if header else [], reading).roles()
        self.labelled = "label" in names
        # Where the recipe is to undo them always, that is done as the texts are cleaned.
        escapes = recipe.cleaning.escaped_newlines
        self._escapes = self._layout.bare and escapes in ("by-layout", "find")
        self._bare_labels = self._layout.bare and not recipe.labels.label_values
        wanted = sorted(set(names.values()))
        self._place = {role: wanted.index(name) for role, name in names.items()}
        self._fields = np.full(len(header), -1, np.int64)
        for place, name in enumerate(wanted):
            if name in header:
                self._fields[header.index(name)] = place
        self._wanted = len(wanted)
        self._literal = recipe.input.literal_stray_quotes
        self._sample = NO_SAMPLE
        judged = names.get("rating", names.get("label"))
        if self._literal and header and judged:
            self._sample = RowSample.of(
                self._layout.rows, self._layout.lines, len(header), header.index(judged))
        self._quote = 34 if recipe.input.quotes else -1
        self._lines = rows_are_lines(recipe)
        # Rows before the first record that have not gone by yet.
        self._before = (self._layout.header + self._layout.named) if at_start else 0

    def find(self, data: bytes, final: bool) -> tuple[Spans, Spans, int]:
        """The rows that are whole in data, without the header; to be called in file order."""
        if self._lines:
            starts, ends, used = find_lines(data, final)
            ends = np.where(np.frombuffer(data + b" ", np.uint8)[ends - 1] == 13, ends - 1, ends)
        else:
            starts, ends, used = find_rows(
                data, final, self._layout.delimiter, self._sample)
        skipped = min(self._before, len(starts))
        self._before -= skipped
        return starts[skipped:], ends[skipped:], used

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
            self._literal, len(self._fields), self._fields, reasons, out,
            np.zeros(self._wanted, np.int64), bounds,
        )  # fmt: skip
        strings = [string_array(n, bounds[f], out[f]) for f in range(self._wanted)]
        if self._escapes or self._bare_labels:
            for role, place in self._place.items():
                if role in ("title", "text") and self._escapes:
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
    """True when no row goes over the end of its line."""
    return not (recipe.input.quotes and recipe.input.quoted_newlines)

