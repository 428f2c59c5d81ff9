"""Damage of twelve kinds in real files costs the lines it is in, and every line is counted."""

import gzip
import random
from collections.abc import Callable
from pathlib import Path

import pytest

import reviewmill
from reviews.corpora import plan_splits
from reviews.recipe import Recipe
from reviews.storage.verify import verify_store
from reviews.store import Store
from tests.requirements import need
from tests.reviews.corpora.reading import read_splits

DATA = Path(__file__).parents[3] / "shared" / "data"
Damage = Callable[[bytes], bytes]
HALF: Damage = lambda line: line[: len(line) // 2]  # noqa: E731

DAMAGE: dict[str, Damage] = {
    "cut short": HALF,
    "the first half lost": lambda line: line[len(line) // 2 :],
    "not UTF-8": lambda line: line[:30] + b"\xff\xfe" + line[30:],
    "half of a character": lambda line: HALF(line) + b"\xe2\x82",
    "zero bytes": lambda line: line[:20] + b"\0" * 30 + line[20:],
    "a stray quote": lambda line: line[:15] + b'"' + line[15:],
    "a stray backslash": lambda line: line[:15] + b"\\" + line[15:],
    "noise": lambda line: random.Random(line).randbytes(200).replace(b"\n", b"?"),
    "two lines in one": lambda line: line + line,
    "marks all over": lambda line: line.replace(b" ", b',;{}"'),
    "nothing but a brace": lambda line: b"{",
    "a page of HTML": lambda line: b"<html><head><title>503 Service Unavailable</title></head>",
}
# File, and what the command needs to know about it.
FILES = {
    "json lines": ("amazon/mcauley/Books.json.gz", []),
    "fasttext": ("amazon/polarity.ft.txt.gz", []),
    "csv": ("netflix/netflix_reviews.csv.gz", ["--no-quoted-newlines"]),
}


def lines_of(name: str) -> list[bytes]:
    need((DATA / name).is_file(), f"needs the review data {name}")
    return gzip.decompress((DATA / name).read_bytes()).removesuffix(b"\n").split(b"\n")


def damaged(lines: list[bytes], header: bool) -> tuple[list[bytes], set[int]]:
    """One line of a hundred damaged, all kinds in turn, and which ones."""
    lines = list(lines)
    places = random.Random(0).sample(range(header, len(lines)), max(12, len(lines) // 100))
    for n, place in enumerate(places):
        lines[place] = list(DAMAGE.values())[n % len(DAMAGE)](lines[place])
    return lines, set(places)


@pytest.mark.parametrize("format", FILES)
def test_damage_costs_the_lines_it_is_in_and_no_other(format: str, tmp_path: Path) -> None:
    name, flags = FILES[format]
    header = format == "csv"
    recipe = Recipe.of(quoted_newlines=not flags)
    lines = lines_of(name)
    lines = lines[:1] + [line for line in lines[1:] if line.strip()]
    path = tmp_path / "input"

    def read(content: list[bytes], split_bytes: int = 64 << 20) -> tuple[list[str], int, int]:
        path.write_bytes(b"\n".join(content) + b"\n")
        found = read_splits(plan_splits([str(path)], recipe, split_bytes), recipe)
        return found.texts, found.records, sum(found.bad.values())

    hurt, places = damaged(lines, header)
    whole = [line for n, line in enumerate(lines) if n not in places]
    good, _, bad_before = read(whole)
    texts, records, bad = read(hurt)
    assert records == sum(bool(line.strip(b" \t\r")) for line in hurt) - header
    assert len(texts) + bad == records
    assert bad - bad_before >= len(places) / 3
    remaining = iter(texts)
    assert all(text in remaining for text in good), "a line that was not damaged is lost"
    # Where the file is cut does not matter.
    assert read(hurt, 10_007) == (texts, records, bad)


@pytest.mark.parametrize("format", FILES)
def test_a_store_is_made_of_what_is_left(
    format: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, flags = FILES[format]
    header = format == "csv"
    hurt, places = damaged(lines_of(name)[:1001], header)
    path = tmp_path / "input"
    path.write_bytes(b"\n".join(hurt) + b"\n")
    command = ["prepare", str(path), "--out", str(tmp_path / "store"), *flags]
    assert reviewmill.main([*command, "--max-bad-fraction", "0.05"]) == 0
    store = Store(tmp_path / "store")
    records = store.manifest["records"]
    assert records["read"] == len(hurt) - header
    assert len(places) / 3 <= sum(records["bad"].values()) <= len(places)
    assert not list(verify_store(store))
    assert reviewmill.main([*command, "--overwrite", "--max-bad-fraction", "0.001"]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"first: {path}:" in message
    assert Store(tmp_path / "store").fingerprint == store.fingerprint


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("photo.json", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 9, "photo.json: nei"),
        ("archive.zip", b"PK\x03\x04" + bytes(range(256)) * 9, "archive.zip: damaged zip file"),
        ("prose.txt", b"Once upon a time\nthere was\n", "prose.txt: neither JSON"),
        ("lies.json.gz", b'{"text": "fine", "rating": 5}\n', "lies.json.gz: its name ends in .gz"),
        ("lies.bz2", b'{"text": "fine", "rating": 5}\n', "lies.bz2: its name ends in .bz2"),
        ("broken.gz", b"\x1f\x8b" + bytes(range(100)), "broken.gz: damaged gzip file"),
        ("broken.parquet", b"PAR1" + bytes(range(100)), "broken.parquet: damaged Parquet file"),
        ("folder", None, "folder: a folder without files"),
    ],
)
def test_what_is_no_input_is_named_and_leaves_nothing(
    name: str, data: bytes | None, message: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / name
    path.mkdir() if data is None else path.write_bytes(data)
    assert reviewmill.main(["prepare", str(path), "--out", str(tmp_path / "store")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1] and len(lines) == 1
    assert [p.name for p in tmp_path.iterdir()] == [name]
