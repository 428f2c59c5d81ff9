"""Kinds of files that are told apart on the first look."""

import io
import lzma
import tarfile
import zipfile
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
        plan_splits([str(path)], Recipe(format=format))


def test_a_zip_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "input"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("reviews.csv", ROWS)
    with pytest.raises(UserError, match="input: a zip archive; unpack it"):
        read(path)


def test_a_pointer_of_git_lfs_is_refused(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    with pytest.raises(UserError, match="Git LFS pointer, not the file itself"):
        read_bytes(tmp_path, pointer)


@pytest.mark.parametrize("data", [ROWS, LINES])
def test_lines_that_end_in_carriage_returns_alone_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UserError, match="carriage returns alone"):
        read_bytes(tmp_path, data.replace(b"\n", b"\r"))
    assert read_bytes(tmp_path, data.replace(b"\n", b"\r\n")).texts == ["a fine case", "broken"]


@pytest.mark.parametrize("data", [ROWS, LINES])
def test_xz_is_read_and_its_early_end_is_counted(tmp_path: Path, data: bytes) -> None:
    packed = lzma.compress(data) + lzma.compress(data.removeprefix(b"rating,text\n"))
    assert read_bytes(tmp_path, packed).texts == ["a fine case", "broken"] * 2
    longer = lzma.compress(data + data.splitlines(True)[-1] * 9_000)
    found = read_bytes(tmp_path, longer[:-60])
    assert found.bad["truncated_file"] == 1
