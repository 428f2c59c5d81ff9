"""Files: compressed or plain, in any format, found by what is in them and never by name."""

import bz2
import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from reviews.corpora import detect_format, plan_splits
from reviews.errors import UserError
from reviews.recipe import Recipe
from tests.reviews.corpora.reading import json_lines, mcauley, read, read_bytes, review

ROWS = [review(f"text {n}", n % 5 + 1) for n in range(50)]
PLAIN = json_lines(ROWS)
TEXTS = [row["text"] for row in ROWS]


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as file:
        file.write(data)
    return sink.getvalue().to_pybytes()


Pack = Callable[[bytes], bytes]
CODECS: dict[str, tuple[Pack, str]] = {
    "gzip": (gzip.compress, ".gz"), "bz2": (bz2.compress, ".bz2"), "zstd": (zstd, ".zst"),
}  # fmt: skip


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> tuple[str, Pack, str]:
    return (request.param, *CODECS[request.param])


def test_compression_is_known_by_its_bytes(tmp_path: Path, codec: tuple[str, Pack, str]) -> None:
    _, pack, ending = codec
    for name in ("reviews", "reviews.json", "reviews.csv", "reviews" + ending):
        (tmp_path / name).write_bytes(pack(PLAIN))
        assert read(tmp_path / name).texts == TEXTS


def test_a_name_must_not_lie_about_compression(
    tmp_path: Path, codec: tuple[str, Pack, str]
) -> None:
    name, _, ending = codec
    path = tmp_path / ("reviews.json" + ending)
    for data in (PLAIN, b""):
        path.write_bytes(data)
        with pytest.raises(UserError, match=rf"its name ends in [{ending}]+, but .* not {name}"):
            read(path)


@pytest.mark.parametrize("cut", [0, 1, 17, len(PLAIN) // 2, len(PLAIN)])
def test_the_members_of_a_compressed_file_are_read_as_one(
    tmp_path: Path, codec: tuple[str, Pack, str], cut: int
) -> None:
    name, pack, _ = codec
    packed = b"".join(pack(part) for part in (PLAIN[:cut], PLAIN[cut:], b""))
    assert read_bytes(tmp_path, packed).texts == TEXTS
    if name == "gzip":  # tapes pad with zeros
        assert read_bytes(tmp_path, packed + b"\0" * 1000).texts == TEXTS


@pytest.mark.parametrize("share", [0.0001, 0.3, 0.6, 0.9999])
def test_wherever_a_compressed_file_ends_early_what_came_before_is_read(
    tmp_path: Path, codec: tuple[str, Pack, str], share: float
) -> None:
    _, pack, ending = codec
    data = json_lines(review(f"{n * n * 7919 % 100_003}") for n in range(100_000))
    packed = pack(data)
    path = tmp_path / ("reviews.json" + ending)
    path.write_bytes(packed[: max(1, int(len(packed) * share))])
    found = read(path, Recipe())
    texts = [str(n * n * 7919 % 100_003) for n in range(100_000)]
    assert found.bad == {"truncated_file": 1}
    assert found.texts == texts[: len(found.texts)]
    # bz2 packs 900 kB at a time, and a piece of what came before can be lost with the end.
    assert len(found.texts) >= share * len(texts) - 60_000


def test_no_byte_before_an_early_end_of_a_gzip_file_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reviews.corpora.inputs._PIECE", 500)
    packed = gzip.compress(PLAIN * 20)[:-50]
    there = zlib.decompressobj(wbits=31).decompress(packed).count(b"\n")
    (path := tmp_path / "reviews.json.gz").write_bytes(packed)
    assert len(read(path).texts) == there > 100


def test_a_compressed_file_damaged_otherwise_is_refused(
    tmp_path: Path, codec: tuple[str, Pack, str]
) -> None:
    name, pack, _ = codec
    packed = pack(PLAIN)
    for data in (packed[:30] + b"??" + packed[32:], packed + b"x" * 30):
        with pytest.raises(UserError, match=rf"input: damaged {name} file"):
            read_bytes(tmp_path, data)


def test_many_small_members_are_read_to_the_last(tmp_path: Path) -> None:
    packed = b"".join(gzip.compress(line) for line in PLAIN.splitlines(keepends=True) * 20)
    assert read_bytes(tmp_path, packed).texts == TEXTS * 20


def test_input_larger_than_what_is_held_at_a_time_is_read_in_order(tmp_path: Path) -> None:
    texts = [f"{n} " + "long " * 200 for n in range(9000)]
    data = json_lines(review(text) for text in texts) + b"broken\n"
    assert len(data) > 8 << 20
    for content in (data, gzip.compress(data, 1)):
        found = read_bytes(tmp_path, content)
        assert found.texts == texts
        assert [place.line for place in found.places] == [9001]
        assert found.size == len(data)


def test_a_record_larger_than_what_is_held_at_a_time_is_one_record(tmp_path: Path) -> None:
    long = "very " * (2 << 20)
    for data in (json_lines([review(), review(long), review("last")]),
                 json.dumps([review(), review(long), review("last")], indent=1).encode(),
                 b"__label__2 fine\n__label__1 " + long.encode() + b"\n__label__2 last\n"):
        found = read_bytes(tmp_path, data)
        assert [text.strip() for text in found.texts] == ["fine", long.strip(), "last"]


def test_blocks_hold_so_many_records_at_most(tmp_path: Path) -> None:
    for rows in (1, 7, 50, 1000):  # reading checks the size of each block
        assert read_bytes(tmp_path, PLAIN, Recipe(), rows).texts == TEXTS


ONE = json.dumps(review())


@pytest.mark.parametrize(
    ("text", "format"),
    [
        (ONE, "jsonl"),
        (f"{ONE}\n{ONE}\n", "jsonl"),
        (f"\n\n{ONE}\r\n", "jsonl"),
        (f"\ufeff{ONE}\n", "jsonl"),
        (f"broken\n{ONE}\n{ONE}\n", "jsonl"),
        (f"[\n{ONE}\nbroken\n{ONE}\n{ONE}", "jsonl"),
        (json.dumps(mcauley(1)), "jsonl"),
        ("", "jsonl"),
        (f"[{ONE}]", "json-objects"),
        (f"[{ONE},\n{ONE}]", "json-objects"),
        (f"{ONE}{ONE}", "json-objects"),
        (json.dumps(review(), indent=2), "json-objects"),
        ("__label__1 bad\n__label__2 good\n", "fasttext"),
        ("__label__1 bad, really\nbroken\n", "fasttext"),
        ('__label__1 {"text": 5}\n', "fasttext"),
        ("text,rating\nfine,5\n", "csv"),
        ("\ufefftext;rating\nfine;5\n", "csv"),
        ("text\trating\n{},5\n", "csv"),
        ('"text","rating"\r\n"__label__1",5\r\n', "csv"),
        ("\ntext,rating\nfine,5\n", "csv"),
        ('"Review Text"\r\nfine\r\n', "csv"),
    ],
)
def test_the_format_is_found_by_looking(tmp_path: Path, text: str, format: str) -> None:
    for name in ("input", "reviews.json", "reviews.csv", "reviews.ft.txt"):
        (tmp_path / name).write_bytes(text.encode())
        assert detect_format(str(tmp_path / name)) == format
    (tmp_path / "reviews.gz").write_bytes(gzip.compress(text.encode()))
    assert detect_format(str(tmp_path / "reviews.gz")) == format


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"just words\nand words\n", "neither JSON, fastText, Parquet nor CSV"),
        (b"PAR2\0\1,\0\0\0\0", "neither JSON, fastText, Parquet nor CSV"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file; export it as CSV"),
        ("text,rating\nfine,5\n".encode("utf-16"), "UTF-16 text; convert it: iconv -f UTF-16 -t"),
        ("text,rating\nfine,5\n".encode("utf-16-le"), "iconv -f UTF-16LE -t UTF-8"),
        ("text,rating\nfine,5\n".encode("utf-16-be"), "iconv -f UTF-16BE -t UTF-8"),
        ("text,rating\nfine,5\n".encode("utf-32"), "iconv -f UTF-32 -t UTF-8"),
        (b"<!DOCTYPE html>\n<p>Not found, sorry</p>\n", "an HTML page; export it"),
        (b'<?xml version="1.0"?>\n<reviews a="1, 2"/>\n', "XML; export it"),
        (b"{'reviewText': \"it's fine\", 'overall': 5.0}\n" * 3, "Python's notation, not JSON"),
        (b"{u'text': u'fine'}\n", "Python's notation, not JSON"),
    ],
)
def test_what_is_in_no_known_format_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "reviews.json"
    path.write_bytes(data)
    with pytest.raises(UserError, match=message):
        detect_format(str(path))


def test_a_format_that_is_named_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"text\n" * 300 + PLAIN)  # the first lines say nothing
    assert [s.format for s in plan_splits([str(path)], Recipe.of(format="jsonl"))] == ["jsonl"]
    assert read(path, Recipe.of(format="jsonl")).texts == TEXTS
    assert read(path, Recipe.of(format="jsonl")).bad == {"invalid_json": 300}
    path.write_bytes(b"__label__1,rating,text\nx,5,good\n")
    assert read(path, Recipe.of(format="csv")).texts == ["good"]
