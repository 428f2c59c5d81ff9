"""Which format a file is in, by its content."""

from reviews.corpora.csv import DELIMITERS
from reviews.corpora.fasttext import PREFIX
from reviews.corpora.inputs import head
from reviews.corpora.json_lines import SNIFFED_BYTES, read_record
from reviews.corpora.stretches import find_lines
from reviews.errors import UserError

JSON_LINES, JSON_OBJECTS, FASTTEXT, CSV = "jsonl", "json-objects", "fasttext", "csv"
_LINES = 200
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f"))


def detect_format(path: str) -> str:
    """One of JSON_LINES, JSON_OBJECTS, FASTTEXT, CSV.

    A format of lines is what at least half of the first lines are in, so that single damaged
    ones do not hide it. A UserError names a file that is none of these.
    """
    data, whole = head(path, SNIFFED_BYTES)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(f"{path}: UTF-16 text; convert it to UTF-8 first")
    starts, ends, _ = find_lines(data, whole)
    lines = [data[s:e] for s, e in zip(starts[:_LINES], ends[:_LINES], strict=True)]
    start = data.lstrip()[:1]
    if not start:
        return JSON_LINES  # nothing to read, in any format
    if start != b"[" and _half(lines, [read_record(line)[0] is not None for line in lines]):
        return JSON_LINES
    if _half(lines, [line.lstrip().startswith(PREFIX) for line in lines]):
        return FASTTEXT
    if start in (b"[", b"{"):
        return JSON_OBJECTS
    first = data.lstrip().split(b"\n", 1)[0]
    binary = len(first) != len(first.translate(None, _CONTROL))
    if binary or not any(mark.encode() in first for mark in DELIMITERS):
        raise UserError(
            f"{path}: neither JSON, fastText nor CSV with a header; name it with --format"
        )
    return CSV


def json_format(path: str) -> str:
    """JSON_LINES or JSON_OBJECTS, for a file that is said to hold JSON."""
    data, whole = head(path, SNIFFED_BYTES)
    starts, ends, _ = find_lines(data, whole)
    lines = [data[s:e] for s, e in zip(starts[:_LINES], ends[:_LINES], strict=True)]
    objects = [read_record(line)[0] is not None for line in lines]
    start = data.lstrip()[:1]
    return JSON_OBJECTS if start == b"[" or (start == b"{" and not any(objects)) else JSON_LINES


def _half(lines: list[bytes], fitting: list[bool]) -> bool:
    return bool(lines) and 2 * sum(fitting) >= len(lines)
