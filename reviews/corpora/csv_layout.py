"""Layout of a CSV file by its start: delimiter, columns, header or none."""

import csv
import io
from dataclasses import dataclass, field, replace

from reviews.corpora.fields import is_known
from reviews.corpora.inputs import head
from reviews.errors import UserError
from reviews.recipe import InputFormat

DELIMITERS = ",;\t|"
SEPARATOR = b"sep="  # a first line of Excel's that names the delimiter
_SNIFFED = 1 << 20
_SNIFFED_ROWS = 1000


@dataclass(frozen=True)
class Layout:
    """The columns of a file; no names in an empty one.

    `bare` is the layout of Amazon polarity and full: a class from 1 (two of them, or five), a
    title and a text without a header, newlines written as a backslash and an n. `rows` are the
    first ones of the file, with its header, and `lines` the same where quotes are text. With
    `named`, a line before them names the delimiter.
    """

    names: list[str]
    delimiter: str
    header: bool
    bare: bool = False
    rows: list[list[str]] = field(default_factory=list)
    lines: list[list[str]] = field(default_factory=list)
    named: bool = False


def read_layout(path: str, rules: InputFormat) -> Layout:
    """The layout that the rules name, or that the file shows."""
    data, whole = head(path, _SNIFFED)
    named, data = _named_delimiter(data)
    delimiter = rules.delimiter_mark or named or find_delimiter(data, rules.quotes)
    rows = _rows(data, whole, delimiter, rules.quotes)
    if not rows:
        return Layout([], delimiter, True)
    lines = _rows(data, whole, delimiter, quotes=False) if rules.literal_stray_quotes else []
    return replace(_layout_of(path, rules, rows, delimiter), rows=rows, lines=lines,
                   named=named is not None)


def _named_delimiter(data: bytes) -> tuple[str | None, bytes]:
    """The delimiter that a first line `sep=;` names, None without one, and what follows it."""
    line, _, rest = data.partition(b"\n")
    mark = line.strip(b"\r").removeprefix(SEPARATOR)
    if not line.startswith(SEPARATOR) or len(mark) != 1 or not mark.isascii():
        return None, data
    return mark.decode(), rest


def _layout_of(path: str, rules: InputFormat, rows: list[list[str]], delimiter: str) -> Layout:
    """The same, of a file whose first rows these are."""
    first = [name.strip() for name in rows[0]]
    if rules.columns:
        if len(first) != len(rules.columns):
            raise UserError(
                f"{path}: its first row has {len(first)} columns, but --columns names "
                f"{len(rules.columns)}"
            )
        # A header of these very names is no review.
        return Layout(list(rules.columns), delimiter, header=first == list(rules.columns))
    if len(first) == 3 and first[0] in tuple("12345") and not any(map(is_known, first)):
        classes = {row[0].strip() for row in rows if len(row) == 3}
        part = "label" if classes <= {"1", "2"} else "rating"
        return Layout([part, "title", "text"], delimiter, header=False, bare=True)
    if "\ufffd" in "".join(first):
        raise UserError(f"{path}: its first row is not a CSV header")
    return Layout(first, delimiter, header=True)


def find_delimiter(data: bytes, quotes: bool) -> str:
    """The mark that cuts the first rows into equally many fields; the most frequent of several."""
    line = data.lstrip(b"\r\n").split(b"\n", 1)[0]

    def fitness(mark: str) -> tuple[bool, int]:
        widths = [len(row) for row in _rows(data[: 64 << 10], False, mark, quotes)]
        same = sum(width == widths[0] for width in widths) if widths else 0
        return same > 1 and widths[0] > 1 and 2 * same >= len(widths), line.count(mark.encode())

    return max(DELIMITERS, key=fitness)


def _rows(data: bytes, whole: bool, delimiter: str, quotes: bool) -> list[list[str]]:
    """The first rows that are not empty, as Python's csv module reads them."""
    lines = list(io.StringIO(data.decode("utf-8", "replace"), newline=""))
    rows: list[list[str]] = []
    lines = lines if whole or len(lines) < 2 else lines[:-1]
    reader = csv.reader(
        lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    )
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) == _SNIFFED_ROWS:
                break
    except csv.Error:  # a field without an end, or a NUL: what came before has to do
        pass
    return rows
