"""Records beyond a limit are one bad record each, and are read past in bounded memory."""

import bz2
import gzip
import io
import json
import lzma
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mapreduce.cut_files import cut_file
from reviews.corpora import InputSplit, plan_splits, read_blocks
from reviews.corpora.inputs import TruncatedInput
from reviews.corpora.stretches import Stretch, find_lines, stretches
from reviews.recipe import Recipe
from reviews.record import BadRecord
from tests.reviews.corpora.test_inputs import zstd

LONGEST = 1000
HUGE = 3 << 20  # bytes; more than is read together
TEXTS = ["first", "x" * HUGE, "second", "y" * (LONGEST + 1), "z" * 800, " ", "last"]
GOOD = ["first", "second", "z" * 800, "last"]
LINES = [json.dumps({"text": text, "rating": 5}) for text in TEXTS if text != " "]
FORMATS = {
    "jsonl": "\n".join(LINES),
    "json-objects": "[" + ",\n".join(LINES) + "]",
    "fasttext": "\n".join(f"__label__2 {text}" if text.strip() else text for text in TEXTS),
    "csv": "rating,text\n" + "\n".join(f"5,{text}" for text in TEXTS if text != " "),
}


def zipped(data: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("reviews", data)
    return sink.getvalue()


CODECS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes, "gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress,
    "zstd": zstd, "zip": zipped,
}  # fmt: skip


def read(splits: list[InputSplit], recipe: Recipe) -> tuple[list[str], dict[str, int], list]:
    texts: list[str] = []
    bad: dict[str, int] = {}
    places: list[BadRecord] = []
    for split in splits:
        for block in read_blocks(split, recipe, longest=LONGEST):
            assert block.records == len(block.reviews) + sum(block.bad.values())
            texts += block.reviews["text"].to_pylist()
            bad = {why: bad.get(why, 0) + block.bad.get(why, 0) for why in {*bad, *block.bad}}
            places += block.places
    return texts, bad, places


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("format", FORMATS)
def test_a_record_that_is_too_long_is_bad_in_every_format_and_codec(
    format: str, codec: str, tmp_path: Path
) -> None:
    path = tmp_path / "input"
    end = "\r\n" if codec in ("plain", "xz") else "\n"
    path.write_bytes(CODECS[codec](FORMATS[format].replace("\n", end).encode()))
    recipe = Recipe.of(format="auto" if format != "csv" else "csv", quoted_newlines=False)
    first = 3 if format == "csv" else 2
    lines = {(first, "too_long"), (first + 2, "too_long")}
    for split_bytes in (1 << 30, 700_001) if codec == "plain" else (1 << 30,):
        texts, bad, places = read(plan_splits([str(path)], recipe, split_bytes), recipe)
        assert texts == GOOD and bad == {"too_long": 2}
        if split_bytes == 1 << 30:
            assert {(place.line, place.reason) for place in places} == lines
    [whole] = plan_splits([str(path)], recipe, 1 << 30)
    # Pieces of a long file hold the same records.
    pieces = list(cut_file(whole, recipe, 100, str(tmp_path), LONGEST))
    assert len(pieces) > 1 and read(pieces, recipe) == read([whole], recipe)


def test_a_value_of_a_parquet_file_that_is_too_long_costs_its_row(tmp_path: Path) -> None:
    table = pa.table({"text": [text for text in TEXTS if text != " "], "rating": [5.0] * 6})
    pq.write_table(table, tmp_path / "rows.parquet")
    texts, bad, places = read(plan_splits([str(tmp_path / "rows.parquet")], Recipe()), Recipe())
    assert texts == GOOD and bad == {"too_long": 2}
    assert [place.line for place in places] == [2, 4]


def spans(found: Stretch) -> list[bytes]:
    return [found.data[s:e] for s, e in zip(found.starts, found.ends, strict=True)]


@pytest.mark.parametrize("size", [1, 7, 100, 5000])
@pytest.mark.parametrize(("data", "lines", "too_long"), [
    (b"a\n" + b"b" * 2000 + b"\nc\n", [b"a", b"c"], 1),
    (b"a\n" + b"b" * 2000, [b"a"], 1),
    (b"a\n" + b" " * 2000 + b"\nc", [b"a", b"c"], 0),
    (b" " * 2000, [], 0),
    (b" " * 2000 + b"b\nc", [b"c"], 1),
    (b"b" * 1000 + b"\n" + b"c" * 1001 + b"\n", [b"b" * 1000], 1),
    (b"b" * 1001 + b"\n" + b"c" * 1001 + b"\nd", [b"d"], 2),
])  # fmt: skip
def test_records_are_the_same_whatever_the_sizes_of_pieces(
    data: bytes, lines: list[bytes], too_long: int, size: int
) -> None:
    pieces = [data[first : first + size] for first in range(0, len(data), size)]
    found = list(stretches(iter(pieces), find_lines, at_start=True, longest=LONGEST))
    whole = [line for one in found for line in spans(one)]
    assert [line for line in whole if len(line) <= LONGEST] == lines
    passed = sum(one.too_long for one in found)
    assert passed + sum(len(line) > LONGEST for line in whole) == too_long
    assert b"".join(one.data[: one.used] for one in found) == data
    assert sum(one.records for one in found) == len(lines) + too_long


def test_an_early_end_inside_of_such_a_record_is_one_bad_record() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"a\n"
        for _ in range(9):
            yield b"b" * 1000
        raise TruncatedInput

    found = list(stretches(pieces(), find_lines, at_start=True, longest=LONGEST))
    assert sum(one.too_long for one in found) == 1 and not any(one.cut for one in found)


def test_memory_is_bounded_by_the_limit() -> None:
    longest, pieces = 4 << 20, (b"x" * (1 << 20) for _ in range(100))
    next(stretches(iter([b"a\n"]), find_lines, at_start=True))  # compiled
    tracemalloc.start()
    try:
        for found in stretches(pieces, find_lines, at_start=True, longest=longest):
            assert len(found.starts) == 0 or not np.any(found.ends - found.starts > longest)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * longest
