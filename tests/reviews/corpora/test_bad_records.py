"""Nothing is lost: every record is a review or counted as bad, with its reason and place."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reviews.corpora import InputSplit, detect_format, plan_splits
from reviews.corpora.columns import REASONS
from reviews.errors import UserError
from reviews.recipe import Recipe
from tests.reviews.corpora.reading import json_lines, mcauley, read, read_bytes, read_splits, review

ROWS = [mcauley(number, label=number % 2) for number in range(40)]
TEXTS = [row["reviewText"] for row in ROWS]
FILES = {
    "jsonl": json_lines(ROWS),
    "json-objects": "".join(json.dumps(row, indent=1) + "\n" for row in ROWS).encode(),
    "fasttext": "".join(f"__label__{n % 2 + 1} {text}\n" for n, text in enumerate(TEXTS)).encode(),
    "csv": "".join(
        ["overall,reviewText\n", *(f'{n % 5 + 1},"{text}"\n' for n, text in enumerate(
            text.replace('"', '""') for text in TEXTS))]
    ).encode(),
}  # fmt: skip

# What may happen to bytes: a position (in thousandths), bytes taken out there, and bytes put in.
DAMAGE = st.lists(
    st.tuples(
        st.integers(0, 1000),
        st.integers(0, 40),
        st.binary(max_size=4) | st.sampled_from([bytes([b]) for b in b'\n"{}\\,\xff\0']),
    ),
    max_size=8,
)  # fmt: skip


def damaged(data: bytes, damage: list[tuple[int, int, bytes]], keep: int = 0) -> bytes:
    """The bytes with some of them changed, but for the first `keep`."""
    for thousandths, out, into in damage:
        place = keep + (len(data) - keep) * thousandths // 1000
        data = data[:place] + into + data[place + out :]
    return data


@pytest.mark.parametrize("format", FILES)
@settings(max_examples=120)
@given(damage=DAMAGE, rows=st.sampled_from([1, 7, 16384]), label=st.booleans())
def test_whatever_happens_to_the_bytes_all_records_are_accounted_for(
    tmp_path_factory: pytest.TempPathFactory,
    format: str,
    damage: list[tuple[int, int, bytes]],
    rows: int,
    label: bool,
) -> None:
    path = tmp_path_factory.getbasetemp() / "input"
    # The header of a CSV file says which columns there are.
    data = damaged(FILES[format], damage, keep=20 if format == "csv" else 0)
    path.write_bytes(data)
    named = Recipe.of(label_field="label" if label and format.startswith("json") else None)
    split = InputSplit(str(path), 0, -1, format)
    try:
        found = read_splits([split], named, rows)  # it checks the account of every block
    except UserError as error:
        # A file so damaged that none of its records has the fields, or a second label.
        assert re.search("no (field|text field|rating field)|several labels", str(error))
        return
    assert set(found.bad) <= set(REASONS)
    assert found.size == len(data.removeprefix(b"\xef\xbb\xbf"))
    lines = data.count(b"\n") + 1
    assert all(1 <= place.line <= lines for place in found.places)


@pytest.mark.parametrize("format", ["jsonl", "fasttext"])
@settings(max_examples=150)
@given(damage=DAMAGE)
def test_in_a_format_of_lines_damage_costs_the_lines_it_is_in(
    tmp_path_factory: pytest.TempPathFactory, format: str, damage: list[tuple[int, int, bytes]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "input"
    damage = [(place, out, into) for place, out, into in damage if b"__label__" not in into]
    data = damaged(FILES[format], damage)
    path.write_bytes(data)
    whole = set(FILES[format].splitlines())
    lines = [line for line in data.split(b"\n") if line.strip(b" \t\r")]
    untouched = [n for n, line in enumerate(lines) if line in whole]
    try:
        found = read_splits([InputSplit(str(path), 0, -1, format)], Recipe(), rows=7)
    except UserError as error:
        assert "several labels" in str(error)
        return
    assert found.records == len(lines)
    read_whole = [text for text in found.texts if text in TEXTS]
    assert len(read_whole) >= len(untouched)
    number = {line: n for n, line in enumerate(FILES[format].splitlines())}
    expected = [TEXTS[number[lines[n]]] for n in untouched]
    remaining = iter(found.texts)
    assert all(text in remaining for text in expected), "some are missing, or out of order"


def test_every_reason_stands_with_its_path_and_line(tmp_path: Path) -> None:
    rows: list[tuple[bytes, str]] = [
        (b'{"text": "fine", "stars": 5}', ""),
        (b'{"text": "fine", "stars": 5', "invalid_json"),
        (b'["text", "stars"]', "not_an_object"),
        (b'{"text": "f\xefne", "stars": 5}', "invalid_utf8"),
        (b'{"stars": 5}', "missing_text"),
        (b'{"text": "fine"}', "missing_rating"),
        (b'{"text": "fine", "stars": 9}', "rating_out_of_range"),
        (b'{"text": "fine", "stars": 4}', ""),
    ]
    data = b"\n".join(line for line, _ in rows)
    found = read_bytes(tmp_path, data, rows=1)
    path = str(tmp_path / "input")
    assert [(place.path, place.line, place.reason) for place in found.places] == [
        (path, number, reason) for number, (_, reason) in enumerate(rows, 1) if reason
    ]
    assert found.texts == ["fine", "fine"]


def test_the_first_three_places_of_a_block_are_named(tmp_path: Path) -> None:
    good = json_lines([review()] * 150)
    found = read_bytes(tmp_path, good[: len(good) // 50] + b"x\n" * 100 + good)
    assert found.bad == {"invalid_json": 100}
    assert [place.line for place in found.places] == [4, 5, 6]


@pytest.mark.parametrize("format", FILES)
def test_a_truncated_file_file_gives_what_could_be_read_and_one_bad_record(
    tmp_path: Path, format: str
) -> None:
    path = tmp_path / "input"
    packed = gzip.compress(FILES[format])
    path.write_bytes(packed[: len(packed) // 2])
    found = read(path)
    assert found.bad == {"truncated_file": 1}
    assert 0 < len(found.reviews) < len(ROWS)
    assert found.texts == TEXTS[: len(found.reviews)]
    assert found.places[0].reason == "truncated_file"


@settings(max_examples=60)
@given(st.integers(2, 2000))
def test_wherever_a_gzip_file_ends_early_it_is_said(
    tmp_path_factory: pytest.TempPathFactory, end: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "input"
    packed = gzip.compress(FILES["jsonl"])
    end = min(end, len(packed) - 1)
    path.write_bytes(packed[:end])
    found = read(path)
    assert found.bad == {"truncated_file": 1}
    assert found.texts == TEXTS[: len(found.reviews)]
    # Its last record is whole, though its end mark is not.
    path.write_bytes(packed)
    assert not read(path).bad


@pytest.mark.parametrize(
    "hurt",
    [lambda b: b[:-8] + b"\0" * 8, lambda b: b[:30] + b"??" + b[32:], lambda b: b + b"x" * 30],
    ids=["its checksum", "its middle", "its end"],
)
def test_a_gzip_file_damaged_otherwise_is_refused(
    tmp_path: Path, hurt: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "input"
    path.write_bytes(hurt(gzip.compress(FILES["jsonl"])))
    with pytest.raises(UserError, match=r"input: damaged gzip file"):
        read(path)


@pytest.mark.parametrize("data", [b"", b"\n\n  \n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_an_empty_file_holds_no_records(tmp_path: Path, data: bytes) -> None:
    found = read_bytes(tmp_path, data)
    assert (found.records, found.reviews, found.bad) == (0, [], {})


@pytest.mark.parametrize("format", FILES)
def test_a_file_that_is_empty_is_so_in_every_format(tmp_path: Path, format: str) -> None:
    path = tmp_path / "input"
    path.touch()
    assert read_splits([InputSplit(str(path), 0, -1, format)]).records == 0
    assert detect_format(str(path)) == "jsonl"


def test_a_file_in_which_every_record_is_bad_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"{broken\n" * 100)
    splits = plan_splits([str(path)], Recipe.of(format="jsonl"))
    found = read_splits(splits)
    assert found.bad["invalid_json"] == found.records
    assert found.size == 800
