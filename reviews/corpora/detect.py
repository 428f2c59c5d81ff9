"""Format of a file, by its content."""

from collections.abc import Iterable

from reviews.corpora.csv_layout import DELIMITERS, SEPARATOR
from reviews.corpora.fasttext import PREFIX
from reviews.corpora.inputs import FileStart, look
from reviews.corpora.json.lines import SNIFFED_BYTES, read_record
from reviews.corpora.json.wrapped import refuse_wrapped
from reviews.corpora.parquet import MAGIC
from reviews.corpora.stretches import find_lines
from reviews.errors import UserError

JSON_LINES, JSON_OBJECTS, FASTTEXT, CSV = "jsonl", "json-objects", "fasttext", "csv"
PARQUET = "parquet"
_LINES = 200
_TAR_MAGIC = (b"ustar", 257)  # these bytes, from this one on
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f"))


def look_at(path: str) -> FileStart:
    """As much of a file as its format is found by."""
    return look(path, SNIFFED_BYTES)


def detect_format(
    path: str, delimiters: str = DELIMITERS, text_field: str | None = None,
    start: FileStart | None = None,
) -> str:
    """One of JSON_LINES, JSON_OBJECTS, FASTTEXT, CSV, PARQUET.

    A format of lines is what at least half of the first lines are in, so that single damaged
    ones do not hide it. A UserError names a file that is none of these.

    Args:
        start: what `look_at` gives, where the file has been looked at.
    """
    data, lines = _first_lines(path, start)
    if data.startswith(MAGIC):
        return PARQUET
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(f"{path}: UTF-16 text; convert it to UTF-8 first")
    refuse_wrapped(path, data, text_field)
    if not lines or _are_objects(lines):
        return JSON_LINES  # an empty file is empty in any format
    if _half(line.lstrip().startswith(PREFIX) for line in lines):
        return FASTTEXT
    if lines[0].lstrip()[:1] in (b"[", b"{"):
        _refuse_python(path, lines[0])
        return JSON_OBJECTS
    binary = len(lines[0]) != len(lines[0].translate(None, _CONTROL))
    if lines[0].startswith(SEPARATOR):
        return CSV
    if binary or not any(mark.encode() in lines[0] for mark in delimiters):
        raise UserError(
            f"{path}: neither JSON, fastText, Parquet nor CSV; name its format with --format"
        )
    return CSV


def check_readable(path: str, start: FileStart) -> None:
    """Raise UserError, with the way out, for a file that is none of reviews in any format."""
    _refuse(path, start.data)


def _refuse(path: str, data: bytes) -> None:
    """The same, by the start of the file: one that holds other files, or only stands for one, or
    that has no line ends. JSON needs none: there, a carriage return is white space."""
    if data[_TAR_MAGIC[1] :].startswith(_TAR_MAGIC[0]):
        raise UserError(f"{path}: a tar archive; unpack it (tar -xf) and give its files")
    if data.startswith(_LFS_POINTER):
        raise UserError(f"{path}: a Git LFS pointer, not the file itself; run 'git lfs pull'")
    if b"\r" in data and b"\n" not in data and not data.lstrip().startswith((b"{", b"[", MAGIC)):
        raise UserError(f"{path}: lines end in carriage returns alone; convert them by "
                        "tr '\\r' '\\n'")


def json_format(
    path: str, text_field: str | None = None, start: FileStart | None = None
) -> str:
    """JSON_LINES or JSON_OBJECTS, for a file that is said to hold JSON."""
    data, lines = _first_lines(path, start)
    refuse_wrapped(path, data, text_field)
    if not lines or lines[0].lstrip()[:1] not in (b"[", b"{") or _are_objects(lines):
        return JSON_LINES
    _refuse_python(path, lines[0])
    return JSON_OBJECTS


def _refuse_python(path: str, line: bytes) -> None:
    """Raise UserError for what Python prints of a dictionary, as some older corpora have it."""
    if line.lstrip(b" \t[").startswith((b"{'", b"{u'")):
        raise UserError(f"{path}: Python's notation, not JSON; convert it by ast.literal_eval and "
                        "json.dumps, as docs/inputs.md does")


def _first_lines(path: str, start: FileStart | None) -> tuple[bytes, list[bytes]]:
    """The start of a file, and the whole lines in it that are not blank."""
    start = start or look_at(path)
    data, whole = start.data, start.whole
    _refuse(path, data)
    starts, ends, _ = find_lines(data, whole)
    if not len(starts) and data.strip():
        return data, [data]  # one line, longer than what was read
    return data, [data[s:e] for s, e in zip(starts[:_LINES], ends[:_LINES], strict=True)]


def _are_objects(lines: list[bytes]) -> bool:
    return _half(read_record(line, nan=True)[0] is not None for line in lines)


def _half(fitting: Iterable[bool]) -> bool:
    found = list(fitting)
    return 2 * sum(found) >= len(found)
