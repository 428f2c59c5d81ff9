"""On a cluster, long files that one task alone could read are cut into pieces for many."""

import bz2
import gzip
import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

import reviewmill
from mapreduce.cut_files import cut_file, files_to_cut
from reviews.corpora import InputSplit, plan_splits
from reviews.errors import UserError
from reviews.recipe import Recipe
from tests.mapreduce.corpus import bytes_of, make_reviews, run
from tests.requirements import need
from tests.reviews.corpora.reading import WHOLE, read_splits

PIECE = 4_000
ROWS = make_reviews(300, seed=7, longest=20)
BOM = b"\xef\xbb\xbf"


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file has many stretches, and so many places to be cut."""
    monkeypatch.setattr("reviews.corpora.stretches._STRETCH", 500)
    for name in ("_PIECE", "_ZSTD_PIECE"):
        monkeypatch.setattr(f"reviews.corpora.inputs.{name}", 500)


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


def as_lines() -> bytes:
    """JSON lines of which some are blank or damaged."""
    lines = [json.dumps(row).encode() for row in ROWS]
    for i in range(20, 300, 30):
        lines[i : i + 1] = [b"", lines[i][:30], b"  "]
    return b"\n".join(lines)


def as_table(between: str) -> bytes:
    """CSV whose texts have quotes and something between words, and a quote that stays open."""
    rows = [f'"{row["reviewText"]}{between}""said"" they",{row["overall"]:.0f}\r\n'
            for row in ROWS]
    rows[150] = '"open,4\r\n'
    return ("text,rating\r\n" + "".join(rows)).encode()


CORPORA: dict[str, tuple[bytes, Callable[[bytes], bytes], Recipe]] = {
    "lines.gz": (as_lines(), gzip.compress, WHOLE),
    "marked.bz2": (BOM + BOM + as_lines(), bz2.compress, WHOLE),
    "table.csv": (BOM + as_table("\n"), bytes, WHOLE),
    "rows.csv.gz": (as_table(" "), gzip.compress, Recipe.of(quoted_newlines=False)),
    "pretty.zst": (json.dumps(ROWS, indent=2).encode(), zstd, WHOLE),
    "packed.json": (b"".join(json.dumps(row, indent=0).encode() for row in ROWS), bytes, WHOLE),
    "labels.gz": ("".join(f"__label__{1 + (row['overall'] > 3)} {row['reviewText']}\n"
                          for row in ROWS).encode(), gzip.compress, Recipe()),
    "torn.gz": (as_lines(), lambda data: gzip.compress(data)[:-500], WHOLE),
}  # fmt: skip


@pytest.mark.parametrize("name", CORPORA)
def test_the_pieces_hold_the_records_of_the_file_under_its_name_and_lines(
    name: str, tmp_path: Path
) -> None:
    data, packed, recipe = CORPORA[name]
    path = tmp_path / name
    path.write_bytes(packed(data))
    [split] = plan_splits([str(path)], recipe)
    pieces = list(cut_file(split, recipe, PIECE, str(tmp_path / "work")))
    assert len(pieces) > 3
    assert all(piece.length < 3 * PIECE for piece in pieces)
    found, whole = (read_splits(some, recipe, rows=1) for some in (pieces, [split]))
    assert found == whole
    assert len(whole.reviews) > 200
    assert sum(piece.length for piece in pieces) == whole.size
    assert name != "torn.gz" or whole.bad["truncated_file"] == 1


def test_long_files_are_those_that_one_task_alone_could_read(tmp_path: Path) -> None:
    for name in ("a.json", "b.json.gz", "c.csv"):
        data, packed, _ = CORPORA["table.csv" if name == "c.csv" else "lines.gz"]
        (tmp_path / name).write_bytes(packed(data) if name == "b.json.gz" else data)
    splits = {"corpus": plan_splits([str(tmp_path)], Recipe()), "test": []}
    long, short = files_to_cut(splits, above_mb=0)
    assert [Path(split.path).name for split in long["corpus"]] == ["b.json.gz", "c.csv"]
    assert [Path(split.path).name for split in short["corpus"]] == ["a.json"]
    assert files_to_cut(splits, above_mb=1) == ({"corpus": [], "test": []}, splits)


def test_a_store_of_pieces_is_that_of_the_file_and_so_are_the_messages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    need(importlib.util.find_spec("distributed") is not None, "distributed is not installed")
    monkeypatch.setattr("mapreduce.prepare.SPLIT_BYTES", 1 << 20)
    monkeypatch.setattr("mapreduce.prepare.PARTITION_BYTES", 8 << 20)
    path, given = tmp_path / "reviews.json.gz", tmp_path / "given.json.bz2"
    good = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    # Several stretches of 4 MB; what is wrong stands in the last of them.
    path.write_bytes(gzip.compress(good * 100 + b"{\n" * 5, 1))
    given.write_bytes(bz2.compress(good))
    recipe = Recipe.of(dedupe="none", max_bad_fraction=0.1)
    expected = bytes_of(run([str(path)], tmp_path / "inline", recipe, test=[str(given)]))
    told = [line for line in capsys.readouterr().err.splitlines() if "cannot be read" in line]
    assert told == [f"prepare: cannot be read: {path}:{line} invalid_json"
                    for line in (30_001, 30_002, 30_003)]
    out = tmp_path / "dask" / "store"
    made = bytes_of(run([str(path)], out, recipe, test=[str(given)], runner="dask", workers=2,
                        cut_above=0))
    made.pop("dask-report.html")
    assert made == expected
    log = capsys.readouterr().err.splitlines()
    assert [line for line in log if "cannot be read" in line] == told
    assert any(re.match(r"prepare: cut: 2 long files, [3-9] pieces, ", line) for line in log)
    assert list(out.parent.iterdir()) == [out]


def test_a_size_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reviewmill.main(["prepare", "a.json", "--out", str(tmp_path / "store"),
                            "--runner", "dask", "--cut-above", "-1"]) == 2
    assert "--cut-above is -1: give 0 or more MB" in capsys.readouterr().err


def test_a_long_file_that_is_damaged_is_named(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(as_lines()))
    data[len(data) // 2 : len(data) // 2 + 9] = bytes(9)
    (path := tmp_path / "bad.json.gz").write_bytes(data)
    with pytest.raises(UserError, match=r"bad.json.gz: damaged gzip file"):
        list(cut_file(InputSplit(str(path), 0, -1, "jsonl"), WHOLE, PIECE, str(tmp_path / "work")))
