"""JSON objects that are not one a line: pretty-printed, concatenated, or in one array.

The stream is cut into objects by counting braces outside of strings; a string ends at its
line's end at the latest (JSON has no raw newlines in strings), and where objects begin on
lines of their own, such a line begins a new one even if the last was never closed. So damage
costs the record it is in, not the rest of the file.
"""

import re

import numpy as np

from reviews.corpora.fields import FOR_TRAINING, Reading
from reviews.corpora.inputs import head
from reviews.corpora.json.lines import SNIFFED_BYTES, JsonLines
from reviews.corpora.stretches import Spans
from reviews.corpora.utf8 import compiled
from reviews.recipe import Recipe

LONGEST_OBJECT = 16 << 20  # bytes; what does not close before is cut at its first line


@compiled
def _leads(data, i, indent):
    """True when the brace at i is the first of its line, after `indent` spaces or tabs."""
    for j in range(indent):
        if i - 1 - j < 0 or (data[i - 1 - j] != 32 and data[i - 1 - j] != 9):
            return False
    return i - 1 - indent < 0 or data[i - 1 - indent] == 10


@compiled
def _object_end(data, i, indent, longest):
    """The end of the object at i; -1 when it goes on beyond data, -2 beyond the longest."""
    size = data.size
    first = i
    depth = 0
    inside = False
    while i < size:
        c = data[i]
        if inside:
            if c == 92 and i + 1 < size and data[i + 1] != 10:
                i += 1
            elif c == 34 or c == 10:
                inside = False
        elif c == 34:
            inside = True
        elif c == 123:
            if indent >= 0 and i > first and _leads(data, i, indent):
                return i
            depth += 1
        elif c == 125:
            depth -= 1
            if depth == 0:
                return i + 1
        i += 1
        if i - first > longest:
            return -2
    return -1


@compiled
def _find(data, final, indent, longest, starts, ends):
    """Fill in the spans of objects and of junk between them; (number of spans, bytes used)."""
    size = data.size
    n = 0
    i = 0
    while i < size:
        c = data[i]
        if c == 32 or c == 10 or c == 13 or c == 9 or c == 44 or c == 91 or c == 93:
            i += 1
            continue
        first = i
        if c == 123:
            end = _object_end(data, i, indent, longest)
            if end == -1 and not final:
                return n, first
            if end == -1:
                end = size
            elif end == -2:
                end = first + 1
                while end < size and data[end] != 10:
                    end += 1
                if end == size and not final:
                    return n, first
        else:
            end = i + 1
            while end < size and end - first <= longest:
                if data[end] == 123 and (indent < 0 or _leads(data, end, indent)):
                    break
                end += 1
            if end == size and not final:
                return n, first
        starts[n] = first
        i = end
        while end > first and (data[end - 1] <= 32 or data[end - 1] == 44):
            end -= 1
        ends[n] = end
        n += 1
    return n, size


class JsonObjects(JsonLines):
    """Reads the fields of a review from each object of a stream."""

    def __init__(self, path: str, recipe: Recipe, reading: Reading = FOR_TRAINING) -> None:
        self._indent = first_indent(head(path, SNIFFED_BYTES)[0])
        super().__init__(path, recipe, reading)

    def find(self, data: bytes, final: bool) -> tuple[Spans, Spans, int]:
        """The objects that are whole in data, and what lies between them."""
        room = 2 * data.count(b"{") + len(data) // LONGEST_OBJECT + 3
        starts, ends = np.empty(room, np.int64), np.empty(room, np.int64)
        n, used = _find(
            np.frombuffer(data, np.uint8), final, self._indent, LONGEST_OBJECT, starts, ends
        )
        return starts[:n], ends[:n], used


def first_indent(data: bytes) -> int:
    """Number of spaces before the first brace, -1 unless it stands on a line of its own.

    -1 too when what is inside is not indented further: then such lines begin inner objects too.
    """
    match = re.search(rb"^([ \t]*)\{[ \t]*\r?\n\1[ \t]", data, re.MULTILINE)
    return len(match[1]) if match and data.find(b"{") == match.end(1) else -1
