"""fastText's format: `__label__NAME text`, one review a line."""

import numpy as np
from numpy.typing import NDArray

from reviews.corpora.columns import CODE, Column, string_array, string_column
from reviews.corpora.fields import FOR_TRAINING, Reading
from reviews.corpora.inputs import read_input
from reviews.corpora.stretches import Spans, find_lines, stretches
from reviews.corpora.utf8 import compiled, utf8_valid
from reviews.errors import UserError
from reviews.recipe import Recipe

PREFIX = b"__label__"
_PREFIX = np.frombuffer(PREFIX, np.uint8)
_INVALID_UTF8 = CODE["invalid_utf8"]
_MISSING_LABEL = CODE["missing_label"]
_SEVERAL = 255


@compiled
def _labelled(data, i, end, prefix):
    if end - i < prefix.size:
        return False
    for j in range(prefix.size):
        if data[i + j] != prefix[j]:
            return False
    return True


@compiled
def _skip_space(data, i, end):
    while i < end and (data[i] == 32 or data[i] == 9):
        i += 1
    return i


@compiled
def _scan(
    data, starts, ends, prefix, needed, reasons, labels, label_bounds, texts, text_bounds
):  # fmt: skip
    """Split each line at the end of its label; the strings go end to end.

    needed: each line has one label. If not, it may have any number, and none is read.
    """
    k = 0
    m = 0
    for row in range(starts.size):
        end = ends[row]
        if data[end - 1] == 13:
            end -= 1
        i = _skip_space(data, starts[row], end)
        if not utf8_valid(data, i, end):
            reasons[row] = _INVALID_UTF8
        elif needed and not _labelled(data, i, end, prefix):
            reasons[row] = _MISSING_LABEL
        else:
            while not needed and _labelled(data, i, end, prefix):
                after = i
                while after < end and data[after] != 32 and data[after] != 9:
                    after += 1
                i = _skip_space(data, after, end)
            first = i
            while needed and i < end and data[i] != 32 and data[i] != 9:
                i += 1
            labels[k : k + i - first] = data[first:i]
            k += i - first
            i = _skip_space(data, i, end)
            if needed and _labelled(data, i, end, prefix):
                reasons[row] = _SEVERAL
            texts[m : m + end - i] = data[i:end]
            m += end - i
        label_bounds[row + 1] = k
        text_bounds[row + 1] = m


class FastText:
    """Reads label and text of each line; there is nothing else in it."""

    labelled = True

    def __init__(self, path: str, recipe: Recipe, reading: Reading = FOR_TRAINING) -> None:
        if reading.key_field is not None:
            raise UserError(f"{path}: lines of fastText have no fields; leave out --key-field")
        self._path, self._needed = path, reading.labels

    def find(self, data: bytes, final: bool) -> tuple[Spans, Spans, int]:
        """The lines that are whole in data."""
        return find_lines(data, final)

    def parse(
        self, data: bytes, starts: Spans, ends: Spans
    ) -> tuple[dict[str, Column], NDArray[np.uint8]]:
        """Columns by part of the review, and for each line (n) why it cannot be read, or 0."""
        n, room = len(starts), int((ends - starts).sum()) + 1
        reasons = np.zeros(n, np.uint8)
        labels, texts = np.empty(room, np.uint8), np.empty(room, np.uint8)
        label_bounds, text_bounds = np.zeros(n + 1, np.int32), np.zeros(n + 1, np.int32)
        _scan(
            np.frombuffer(data, np.uint8), starts, ends, _PREFIX, self._needed,
            reasons, labels, label_bounds, texts, text_bounds,
        )  # fmt: skip
        several = np.flatnonzero(reasons == _SEVERAL)
        if several.size:
            line = data[starts[several[0]] : ends[several[0]]]
            raise UserError(
                f"{self._path}:{_line_number(self._path, line)}: several labels on a line; "
                "a review has one"
            )
        columns = {
            "label": string_column(string_array(n, label_bounds, labels)),
            "text": string_column(string_array(n, text_bounds, texts)),
        }
        return columns, reasons


def _line_number(path: str, line: bytes) -> int:
    """Number of the first line of the file that equals `line`."""
    for stretch in stretches(read_input(path), find_lines, at_start=True):
        for start, end in zip(stretch.starts, stretch.ends, strict=True):
            if stretch.data[start:end] == line:
                return stretch.line_of(start)
    raise AssertionError(f"{path} has changed while it was read")
