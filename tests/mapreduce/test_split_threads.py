"""A file that can only be read from front to back is prepared by several threads of one task."""

import bz2
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from mapreduce.split_threads import share_parts
from reviews.corpora import plan_splits, read_parts
from reviews.errors import UserError
from reviews.recipe import Recipe
from reviews.record import Block
from tests.mapreduce.corpus import bytes_of, make_reviews, run


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small corpus becomes several shards, stretches and segments."""
    monkeypatch.setattr("mapreduce.prepare.PARTITION_BYTES", 60_000)
    monkeypatch.setattr("reviews.corpora.stretches._STRETCH", 5_000)
    for name in ("_PIECE", "_ZSTD_PIECE"):
        monkeypatch.setattr(f"reviews.corpora.inputs.{name}", 5_000)
    monkeypatch.setattr("mapreduce.gather_reviews.SEGMENT_IDS", 3_000)


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


def test_any_number_of_threads_makes_the_same_store(tmp_path: Path) -> None:
    rows = make_reviews(1500, seed=4)
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    formats: dict[str, Callable[[bytes], bytes]] = {
        "a.json.gz": gzip.compress, "a.json.bz2": bz2.compress, "a.json.zst": zstd,
        "a.json": lambda _: json.dumps(rows, indent=1).encode(),
    }
    for name, compress in formats.items():
        path = tmp_path / name
        path.write_bytes(compress(data))
        recipe = Recipe.of(length=4, features=("votes",))
        expected = bytes_of(run([str(path)], tmp_path / f"{name}-1", recipe))
        store = run([str(path)], tmp_path / name[2:], recipe, runner="local", workers=3)
        assert bytes_of(store) == expected


class Counting:
    """Takes blocks, and notes what it was told."""

    def __init__(self) -> None:
        self.records, self.blocks, self.flushed = 0, 0, 0

    def add(self, block: Block) -> None:
        self.records += block.records
        self.blocks += 1

    def flush(self) -> None:
        self.flushed += 1


def test_every_block_goes_to_one_thread_and_every_thread_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(b'{"text": "good", "rating": 5}\n' * 3000))
    [split] = plan_splits([str(path)], Recipe())
    takers = [Counting() for _ in range(3)]
    share_parts(read_parts(split, Recipe()), takers)
    assert sum(taker.records for taker in takers) == 3000
    assert sum(taker.blocks for taker in takers) > 10
    assert [taker.flushed for taker in takers] == [1, 1, 1]


def test_what_is_wrong_in_one_thread_ends_all_with_its_message(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    lines = [b"__label__2 good tea"] * 2000
    lines[1500] = b"__label__1 __label__2 both"
    path.write_bytes(gzip.compress(b"\n".join(lines)))
    with pytest.raises(UserError, match=r"a.txt.gz:1501: several labels on a line"):
        run([str(path)], tmp_path / "store", runner="local", workers=2)
    damaged = tmp_path / "b.txt.gz"
    data = bytearray(gzip.compress(bytes(path.read_bytes()) * 50))
    data[len(data) // 2 : len(data) // 2 + 9] = bytes(9)
    damaged.write_bytes(data)
    with pytest.raises(UserError, match=r"b.txt.gz: "):
        run([str(damaged)], tmp_path / "store", runner="local", workers=2)
    assert not (tmp_path / "store").exists()
