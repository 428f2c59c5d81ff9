"""Format of a file, by its content."""

import re
from collections.abc import Iterable

from reviews.corpora.csv_layout import DELIMITERS, SEPARATOR
from reviews.corpora.fasttext import PREFIX
from reviews.corpora.fields import is_text_name
from reviews.corpora.inputs import FileStart, codec_of_bytes, look
from reviews.corpora.json.lines import SNIFFED_BYTES, read_record
from reviews.corpora.json.wrapped import refuse_wrapped
from reviews.corpora.parquet import MAGIC
from reviews.corpora.stretches import find_lines
from reviews.errors import UserError

JSON_LINES, JSON_OBJECTS, FASTTEXT, CSV = "jsonl", "json-objects", "fasttext", "csv"
PARQUET = "parquet"
_LINES = 200
_TAR_MAGIC = (b"ustar", 257)  # these bytes, from this one on
# First bytes of files that are no reviews as they are: what they are, and the way out.
_UNPACK, _EXPORT = "unpack it and give its files", "export it as CSV, JSON lines or Parquet"
_REFUSED = (
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer, not the file itself",
     "run 'git lfs pull'"),
    (b"7z\xbc\xaf'\x1c", "a 7z archive", f"{_UNPACK} (7z x)"),
    (b"Rar!\x1a\x07", "a RAR archive", f"{_UNPACK} (unrar x)"),
    (b"\x04\x22\x4d\x18", "compressed by lz4", "unpack it (lz4 -d)"),
    (b"]\0\0", "compressed by LZMA", "unpack it (unlzma)"),
    (b"\x1f\x9d", "compressed by compress", "unpack it (uncompress)"),
    (b"\xff\x06\0\0sNaPpY", "compressed by Snappy", "unpack it (snzip -d)"),
    (b"x\x9c", "compressed by zlib", "unpack it (pigz -dz)"),
    (b"x\xda", "compressed by zlib", "unpack it (pigz -dz)"),
    (b"ARROW1", "an Arrow file", "write it as Parquet"),
    (b"Obj\x01", "an Avro file", _EXPORT),
    (b"ORC\x0a", "an ORC file", _EXPORT),
    (b"ORC\x08", "an ORC file", _EXPORT),
    (b"\x89HDF", "an HDF5 file", _EXPORT),
    (b"\x93NUMPY", "a NumPy file", _EXPORT),
    (b"\x80\x02", "a Python pickle", _EXPORT),
    (b"\x80\x03", "a Python pickle", _EXPORT),
    (b"\x80\x04", "a Python pickle", _EXPORT),
    (b"\x80\x05", "a Python pickle", _EXPORT),
    (b"SQLite format 3\0", "an SQLite database", _EXPORT),
    (b"\xd0\xcf\x11\xe0", "an Office file", "save it as CSV UTF-8"),
    (b"%PDF-", "a PDF", _EXPORT),
)
_MARKUP = re.compile(rb"\s*<(\?xml|!doctype html|html)", re.IGNORECASE)
_WIDE = 64  # bytes by which UTF-16 without a mark is known
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
    if mark := _MARKUP.match(data):
        raise UserError(f"{path}: {'XML' if b'xml' in mark[1] else 'an HTML page'}; {_EXPORT}")
    refuse_wrapped(path, data, text_field)
    if not lines or _are_objects(lines):
        return JSON_LINES  # an empty file is empty in any format
    if _half(line.lstrip().startswith(PREFIX) for line in lines):
        return FASTTEXT
    if lines[0].lstrip()[:1] in (b"[", b"{"):
        _refuse_python(path, lines[0])
        return JSON_OBJECTS
    first = lines[0].strip(b'"\r\n').decode(errors="replace")
    if is_text_name(first):
        return CSV  # of one column
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
    data = start.data
    for first, kind, way_out in _REFUSED:
        if data.startswith(first):
            raise UserError(f"{path}: {kind}; {way_out}")
    if start.codec and (codec := codec_of_bytes(data[:6])):
        raise UserError(f"{path}: {codec} inside {start.codec}; unpack it once")
    if start.codec and data.startswith(MAGIC):
        raise UserError(f"{path}: Parquet inside {start.codec}; unpack it (Parquet's own "
                        "compression is read)")
    if wide := _wide_text(data):
        raise UserError(f"{path}: {wide} text; convert it: iconv -f {wide} -t UTF-8")
    if data[_TAR_MAGIC[1] :].startswith(_TAR_MAGIC[0]):
        raise UserError(f"{path}: a tar archive; unpack it (tar -xf) and give its files")
    # JSON needs no line ends: there, a carriage return is white space.
    if b"\r" in data and b"\n" not in data and not data.lstrip().startswith((b"{", b"[", MAGIC)):
        raise UserError(f"{path}: lines end in carriage returns alone; convert them by "
                        "tr '\\r' '\\n'")


def _wide_text(data: bytes) -> str | None:
    """UTF-16 and the like as iconv names them, None for other text."""
    marks = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16",
             b"\xfe\xff": "UTF-16"}
    for mark, name in marks.items():
        if data.startswith(mark):
            return name
    some = data[:_WIDE]
    for odd, name in ((1, "UTF-16LE"), (0, "UTF-16BE")):
        halves = some[odd::2], some[1 - odd :: 2]
        if len(some) > 2 and not any(halves[0]) and all(halves[1]):
            return name
    return None


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
    check_readable(path, start)
    starts, ends, _ = find_lines(data, whole)
    if not len(starts) and data.strip():
        return data, [data]  # one line, longer than what was read
    return data, [data[s:e] for s, e in zip(starts[:_LINES], ends[:_LINES], strict=True)]


def _are_objects(lines: list[bytes]) -> bool:
    return _half(read_record(line, nan=True)[0] is not None for line in lines)


def _half(fitting: Iterable[bool]) -> bool:
    found = list(fitting)
    return 2 * sum(found) >= len(found)
