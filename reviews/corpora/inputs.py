"""Bytes of plain and gzipped files, in pieces."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from isal import isal_zlib

from reviews.errors import UserError

GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
_READ = 256 << 10  # compressed bytes at a time: what stays in a core's own cache
_PIECE = 1 << 20


class TruncatedGzip(Exception):
    """The compressed stream ends before its end mark; all that could be read was given."""


def open_input(path: str) -> BinaryIO:
    """The file, open for reading, or a UserError that names it."""
    try:
        return open(path, "rb")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def is_gzip(path: str) -> bool:
    """Whether the bytes are gzip; a UserError when only the name says so."""
    with open_input(path) as file:
        magic = file.read(2)
    if path.endswith(".gz") and not GZIP_MAGIC.startswith(magic[:2] or b"?"):
        raise UserError(f"{path}: its name ends in .gz, but its bytes are not gzip")
    return magic == GZIP_MAGIC or path.endswith(".gz")


def inflated_size(path: str) -> int:
    """The size of a plain file; of a gzipped one a guess from its size and its last bytes.

    A stream ends in its length modulo 4 GiB, which says enough where there is one stream;
    for several, three times the compressed size has to do.
    """
    size = Path(path).stat().st_size
    if not is_gzip(path):
        return size
    with open_input(path) as file:
        file.seek(max(0, size - 4))
        return max(3 * size, int.from_bytes(file.read(4), "little"))


def head(path: str, size: int) -> tuple[bytes, bool]:
    """The first bytes (uncompressed, without a BOM), and whether they are the whole file."""
    pieces, total = [], 0
    try:
        for piece in read_input(path):
            pieces.append(piece)
            total += len(piece)
            if total > size:
                break
    except TruncatedGzip:
        pass
    data = b"".join(pieces)
    return data[:size].removeprefix(BOM), len(data) <= size


def read_input(path: str) -> Iterator[bytes]:
    """The uncompressed bytes of a file; TruncatedGzip at an early end."""
    return inflate(path) if is_gzip(path) else _read_plain(path)


def inflate(path: str) -> Iterator[bytes]:
    """The uncompressed bytes of all gzip members; TruncatedGzip at an early end."""
    with open_input(path) as file:
        member = isal_zlib.decompressobj(wbits=31)
        begun = ended = False
        waiting = b""
        while waiting or (waiting := file.read(_READ)):
            if ended and not begun:  # zeros may pad a file after its last member
                waiting = waiting.lstrip(b"\0")
                if not waiting:
                    continue
            begun = True
            try:
                piece = member.decompress(waiting, _PIECE)
            except isal_zlib.error as error:  # type: ignore[misc]
                raise UserError(f"{path}: damaged gzip file: {error}") from None
            waiting = member.unconsumed_tail
            if member.eof:
                waiting = member.unused_data
                member = isal_zlib.decompressobj(wbits=31)
                begun, ended = False, True
            if piece:
                yield piece
        if begun:
            raise TruncatedGzip


def _read_plain(path: str) -> Iterator[bytes]:
    """The bytes of a file as they are."""
    with open_input(path) as file:
        while piece := file.read(_PIECE):
            yield piece


def read_lines_from(path: str, offset: int, length: int) -> Iterator[bytes]:
    """The lines whose first byte lies in [offset, offset + length) of a plain file."""
    with open_input(path) as file:
        position = offset
        if offset:
            file.seek(offset - 1)
            position = offset - 1
            while piece := file.readline(_PIECE):
                position += len(piece)
                if piece.endswith(b"\n"):
                    break
        end = Path(path).stat().st_size if length < 0 else offset + length
        last = b"\n"
        while position < end and (piece := file.read(min(_PIECE, end - position))):
            position += len(piece)
            last = piece[-1:]
            yield piece
        while last != b"\n" and (piece := file.readline(_PIECE)):
            last = piece[-1:]
            yield piece
