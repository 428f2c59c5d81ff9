"""Bytes of plain and compressed files, in pieces."""

import bz2
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
from isal import isal_zlib

from reviews.errors import UserError
from reviews.storage.files import is_left_out
from reviews.storage.input_file import open_input, size_of

BOM = b"\xef\xbb\xbf"
GZIP, BZ2, ZSTD, XZ, ZIP = "gzip", "bz2", "zstd", "xz", "zip"
_MAGIC = {
    GZIP: b"\x1f\x8b", BZ2: b"BZh", ZSTD: b"\x28\xb5\x2f\xfd", XZ: b"\xfd7zXZ\0",
    ZIP: b"PK\x03\x04",
}  # fmt: skip
_ENDINGS = {".gz": GZIP, ".bz2": BZ2, ".zst": ZSTD, ".xz": XZ, ".zip": ZIP}
_READ = 256 << 10  # compressed bytes at a time: what stays in a core's own cache
_PIECE = 1 << 20
_LINE = 64 << 10  # bytes read at a time to find the end of a line behind a split's end
_ZSTD_PIECE = 64 << 10  # what a frame that ends early is given out in
# How many bytes one compressed byte of review text stands for, about.
_RATIO = 3
# Bytes of one request for the start of a file, which is what `look` reads of most.
_REQUEST, _PACKED_REQUEST = 2 * _PIECE, 2 * _READ


class TruncatedInput(Exception):
    """The compressed stream ends before its end mark; all that could be read was given."""


class FileStart(NamedTuple):
    """The start of a file, and its sizes.

    size: bytes as it lies there.
    codec: its compression, or None.
    data: first bytes (uncompressed, without a BOM).
    whole: True where these are all.
    inflated: about how many bytes it holds uncompressed.
    """

    size: int
    codec: str | None
    data: bytes
    whole: bool
    inflated: int


def look(path: str, size: int) -> FileStart:
    """The start of a file, `size` bytes of it; the file is opened once."""
    request = _PACKED_REQUEST if path.endswith(tuple(_ENDINGS)) else _REQUEST
    with open_input(path, request, is_there=True) as file:
        codec = _codec_of(file, path)
        end = file.seek(0, 2)
        file.seek(0)
        pieces, total = [], 0
        try:
            for piece in _read(file, path, codec):
                pieces.append(piece)
                total += len(piece)
                if total > size:
                    break
        except TruncatedInput:
            pass
        data = b"".join(pieces)
        return FileStart(end, codec, data[:size].removeprefix(BOM), len(data) <= size,
                         _inflated_size(file, codec, end))


def _inflated_size(file: BinaryIO, codec: str | None, size: int) -> int:
    """The size of a plain file; of a compressed one a guess from its size and its last bytes.

    A gzip stream ends in its length modulo 4 GiB, which says enough where there is one stream;
    for several, and for other codecs, three times the compressed size has to do.
    """
    if codec is None:
        return size
    if codec != GZIP:
        return _RATIO * size
    file.seek(max(0, size - 4))
    return max(_RATIO * size, int.from_bytes(file.read(4), "little"))


def codec_of(path: str) -> str | None:
    """The compression that the bytes show, or None; a UserError when only the name says so."""
    with open_input(path, request=1, is_there=True) as file:
        return _codec_of(file, path)


def codec_of_bytes(start: bytes) -> str | None:
    """The compression of a file that begins so, or None."""
    return next((codec for codec, magic in _MAGIC.items() if start.startswith(magic)), None)


def _codec_of(file: BinaryIO, path: str) -> str | None:
    """The same of an open file, which is left at its start."""
    start = file.read(6)
    file.seek(0)
    if codec := codec_of_bytes(start):
        return codec
    for ending, codec in _ENDINGS.items():
        if path.endswith(ending):
            if start and _MAGIC[codec].startswith(start):
                return codec  # cut off within its first bytes
            raise UserError(f"{path}: its name ends in {ending}, but its bytes are not {codec}")
    return None


def head(path: str, size: int) -> tuple[bytes, bool]:
    """The first bytes (uncompressed, without a BOM), and whether they are the whole file."""
    start = look(path, size)
    return start.data, start.whole


def read_input(path: str) -> Iterator[bytes]:
    """The uncompressed bytes of a file; TruncatedInput at an early end."""
    with open_input(path, is_there=True) as file:
        yield from _read(file, path, _codec_of(file, path))


def _read(file: BinaryIO, path: str, codec: str | None) -> Iterator[bytes]:
    if codec is None:
        return _read_pieces(file)
    if codec == ZIP:
        return _read_zip(file, path)
    return _read_zstd(file, path) if codec == ZSTD else _inflate(file, path, codec)


def _read_pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def _inflate(file: BinaryIO, path: str, codec: str) -> Iterator[bytes]:
    """The uncompressed bytes of all members; TruncatedInput at an early end."""

    def open_member() -> Any:
        if codec == XZ:
            return lzma.LZMADecompressor(lzma.FORMAT_XZ)
        return isal_zlib.decompressobj(wbits=31) if codec == GZIP else bz2.BZ2Decompressor()

    member = open_member()
    begun = ended = False
    waiting, more = b"", False
    while waiting or more or (waiting := file.read(_READ)):
        if ended and not begun:  # zeros may pad a file after its last member
            waiting = waiting.lstrip(b"\0")
            if not waiting:
                continue
        begun = True
        try:
            piece = member.decompress(waiting, _PIECE)
        except (isal_zlib.error, lzma.LZMAError, OSError) as error:  # type: ignore[misc]
            raise UserError(f"{path}: damaged {codec} file: {error}") from None
        # bz2 keeps what it could not use yet; gzip hands some of it back, and keeps the rest.
        waiting = getattr(member, "unconsumed_tail", b"")
        more = len(piece) == _PIECE or not getattr(member, "needs_input", True)
        if member.eof:
            waiting, more = member.unused_data, False
            member = open_member()
            begun, ended = False, True
        if piece:
            yield piece
    if begun:
        raise TruncatedInput


def _read_zstd(file: BinaryIO, path: str) -> Iterator[bytes]:
    """The uncompressed bytes of all frames; TruncatedInput at an early end."""
    with pa.CompressedInputStream(pa.PythonFile(file, "r"), ZSTD) as stream:
        while True:
            try:
                piece = stream.read(_ZSTD_PIECE)
            except OSError as error:
                if "runcated" in str(error):
                    raise TruncatedInput from None
                raise UserError(f"{path}: damaged {ZSTD} file: {error}") from None
            if not piece:
                return
            yield piece


def _read_zip(file: BinaryIO, path: str) -> Iterator[bytes]:
    """The uncompressed bytes of the one file in a zip; TruncatedInput at an early end."""
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile:  # its directory stands at the end
        raise UserError(f"{path}: damaged zip file: it has no directory at its end") from None
    members = [name for name in archive.namelist() if not is_left_out(name)]
    if "[Content_Types].xml" in members:
        raise UserError(f"{path}: an Office file, such as Excel's; save it as CSV UTF-8")
    if len(members) != 1:
        raise UserError(f"{path}: a zip of {len(members)} files; unpack it (unzip) and give "
                        "its files")
    try:
        with archive.open(members[0]) as member:
            while piece := member.read(_PIECE):
                yield piece
    except EOFError:
        raise TruncatedInput from None
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        # RuntimeError is what an encrypted one raises.
        raise UserError(f"{path}: damaged or encrypted zip file: {error}") from None


def read_plain(path: str, ends_early: bool = False) -> Iterator[bytes]:
    """The bytes of a file as they are, and then TruncatedInput if they end early."""
    with open_input(path, is_there=True) as file:
        yield from _read_pieces(file)
    if ends_early:
        raise TruncatedInput


def read_lines_from(
    path: str, offset: int, length: int, piece_bytes: int = _PIECE
) -> Iterator[bytes]:
    """The lines whose first byte lies in [offset, offset + length) of a plain file, in pieces.

    A length of -1 reaches to the end of the file. Only `seek` and `read` are asked of the file:
    what fsspec opens has no `readline` with a limit.
    """
    end = size_of(path) if length < 0 else offset + length
    if offset >= end:
        return
    # A line that begins at the offset is known by the newline before it.
    position = max(0, offset - 1)
    begun = offset == 0
    with open_input(path, is_there=True) as file:
        file.seek(position)
        while piece := file.read(min(piece_bytes, end - position) if position < end else _LINE):
            if not begun:
                first = piece.find(b"\n") + 1
                begun = first > 0
                position += first or len(piece)
                if not begun and position >= end:
                    return  # the line goes through all of the split
                if not begun:
                    continue
                piece = piece[first:]
                if position >= end:
                    return
            last = piece.find(b"\n", max(0, end - 1 - position)) + 1
            if last:
                yield piece[:last]
                return
            position += len(piece)
            yield piece
