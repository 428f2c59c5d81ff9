"""Kinds of files that are told apart on the first look."""

import contextlib
import gzip
import io
import lzma
import pickle
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from reviews.corpora import plan_splits
from reviews.errors import UserError
from reviews.recipe import Recipe
from tests.reviews.corpora.reading import read, read_bytes

ROWS = b"rating,text\n4,a fine case\n1,broken\n"
LINES = b'{"rating": 4, "text": "a fine case"}\n{"rating": 1, "text": "broken"}\n'


def tar(data: bytes, mode: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name in ("one", "two"):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("data", [ROWS, LINES])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("format", ["auto", "jsonl", "csv"])
def test_a_tar_archive_is_refused_by_its_content(
    tmp_path: Path, data: bytes, mode: str, format: str
) -> None:
    path = tmp_path / "input"
    path.write_bytes(tar(data, mode))
    with pytest.raises(UserError, match="input: a tar archive; unpack it"):
        plan_splits([str(path)], Recipe.of(format=format))


def packed_zip(path: Path, names: list[str], data: bytes = ROWS) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("data", [ROWS, LINES])
def test_a_zip_of_one_file_is_read(tmp_path: Path, data: bytes) -> None:
    names = ["reviews/", "./reviews/all.csv", "__MACOSX/reviews/._all.csv", "reviews/.DS_Store"]
    path = packed_zip(tmp_path / "input", names, data)
    assert read(path).texts == ["a fine case", "broken"]


def test_a_zip_of_several_files_is_refused(tmp_path: Path) -> None:
    path = packed_zip(tmp_path / "input.zip", ["one.csv", "two.csv"])
    with pytest.raises(UserError, match="a zip of 2 files; unpack it"):
        read(path)


def test_a_zip_that_ends_early_is_refused(tmp_path: Path) -> None:
    path = packed_zip(tmp_path / "input", ["all.csv"])
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match="damaged zip file"):
        read(path)


@pytest.mark.parametrize("place", range(30, 120, 10))
def test_a_zip_with_a_changed_byte_is_refused_or_reads_the_same(
    tmp_path: Path, place: int
) -> None:
    path = packed_zip(tmp_path / "input", ["all.csv"], ROWS * 3)
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(bytes(data))
    with contextlib.suppress(UserError):
        assert read(path).texts == (["a fine case", "broken"] * 3)


def test_a_folder_that_spark_wrote_has_its_parts_alone(tmp_path: Path) -> None:
    (tmp_path / "part-00000.csv").write_bytes(ROWS)
    for mark in ("_SUCCESS", "_committed_123", "_started_123"):
        (tmp_path / mark).write_bytes(b"{}")
    (tmp_path / "_temporary").mkdir()
    (tmp_path / "_temporary" / "part-00001.csv").write_bytes(ROWS)
    assert [split.path for split in plan_splits([str(tmp_path)], Recipe())] == [
        str(tmp_path / "part-00000.csv")]


def test_a_pointer_of_git_lfs_is_refused(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    with pytest.raises(UserError, match="Git LFS pointer, not the file itself"):
        read_bytes(tmp_path, pointer)


@pytest.mark.parametrize(("start", "message"), [
    (b"7z\xbc\xaf'\x1c\0\x04", "a 7z archive; unpack it"),
    (b"Rar!\x1a\x07\x01\0", "a RAR archive; unpack it"),
    (b"\x04\x22\x4d\x18d@\xa7", "compressed by lz4; unpack it"),
    (lzma.compress(LINES, lzma.FORMAT_ALONE), "compressed by LZMA; unpack it"),
    (zlib.compress(LINES), "compressed by zlib; unpack it"),
    (pickle.dumps([LINES]), "a Python pickle; export it"),
    (b"SQLite format 3\0\x10\0", "an SQLite database; export it"),
    (gzip.compress(gzip.compress(LINES)), "gzip inside gzip; unpack it once"),
    (gzip.compress(b"PAR1\x15\x04"), "Parquet inside gzip; unpack it"),
    (ROWS.decode().encode("utf-16"), "UTF-16 text; convert it"),
])  # fmt: skip
@pytest.mark.parametrize("format", ["auto", "jsonl", "csv", "fasttext"])
def test_a_file_of_another_kind_is_called_by_its_name_with_the_way_out(
    tmp_path: Path, start: bytes, message: str, format: str
) -> None:
    (tmp_path / "input").write_bytes(start)
    with pytest.raises(UserError, match=f"input: {message}"):
        plan_splits([str(tmp_path / "input")], Recipe.of(format=format))


def test_an_excel_file_is_refused(tmp_path: Path) -> None:
    path = packed_zip(tmp_path / "input", ["[Content_Types].xml", "xl/workbook.xml"])
    with pytest.raises(UserError, match="an Office file, such as Excel's; save it as CSV"):
        read(path)


@pytest.mark.parametrize("format", ["auto", "csv", "fasttext"])
def test_lines_that_end_in_carriage_returns_alone_are_refused(
    tmp_path: Path, format: str
) -> None:
    path = tmp_path / "input"
    path.write_bytes(ROWS.replace(b"\n", b"\r"))
    with pytest.raises(UserError, match="carriage returns alone"):
        plan_splits([str(path)], Recipe.of(format=format))
    assert read_bytes(tmp_path, ROWS.replace(b"\n", b"\r\n")).texts == ["a fine case", "broken"]


@pytest.mark.parametrize("end", [b"\r", b"\r\n"])
@pytest.mark.parametrize("format", ["auto", "jsonl"])
def test_json_is_read_whatever_its_line_ends(tmp_path: Path, end: bytes, format: str) -> None:
    path = tmp_path / "input"
    path.write_bytes(LINES.replace(b"\n", end))
    assert read(path, Recipe.of(format=format)).texts == ["a fine case", "broken"]


@pytest.mark.parametrize("data", [ROWS, LINES])
def test_xz_is_read_and_its_early_end_is_counted(tmp_path: Path, data: bytes) -> None:
    packed = lzma.compress(data) + lzma.compress(data.removeprefix(b"rating,text\n"))
    assert read_bytes(tmp_path, packed).texts == ["a fine case", "broken"] * 2
    longer = lzma.compress(data + data.splitlines(True)[-1] * 9_000)
    found = read_bytes(tmp_path, longer[:-60])
    assert found.bad["truncated_file"] == 1
