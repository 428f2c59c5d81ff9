"""JSON objects that are not one a line: pretty-printed, end to end, or in one array."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reviews.corpora import detect_format, plan_splits
from reviews.recipe import Recipe
from tests.reviews.corpora.reading import WHOLE, mcauley, read, read_bytes, read_splits, review

STYLE = {"Size:": "{", "Color:": '}"{'}
ROWS = [mcauley(number, style=STYLE, helpful=[number, {"of": []}]) for number in range(9)]


def pretty(rows: list[dict[str, Any]], indent: int | str = 2) -> str:
    return "".join(json.dumps(row, indent=indent) + "\n" for row in rows)


FORMS = {
    "pretty-printed": pretty(ROWS),
    "pretty-printed by tabs": pretty(ROWS, "\t"),
    "pretty-printed by nothing": pretty(ROWS, 0),
    "with CRLF": pretty(ROWS).replace("\n", "\r\n"),
    "without a last newline": pretty(ROWS).rstrip(),
    "with commas between": pretty(ROWS).replace("}\n{", "},\n{"),
    "blank lines between": pretty(ROWS).replace("}\n{", "}\n\n\n{"),
    "an array on one line": json.dumps(ROWS),
    "an array over many lines": json.dumps(ROWS, indent=2),
    "an array of lines": "[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n",
    "end to end on one line": "".join(map(json.dumps, ROWS)),
    "several on each line": "\n".join(
        " ".join(map(json.dumps, ROWS[n : n + 3])) for n in range(0, len(ROWS), 3)
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_any_arrangement_of_objects_holds_the_same_reviews(tmp_path: Path, form: str) -> None:
    path = tmp_path / "input"
    path.write_bytes(FORMS[form].encode())
    found = read(path)
    assert found.texts == [row["reviewText"] for row in ROWS]
    assert found.column("rating") == [row["overall"] for row in ROWS]
    assert found.column("time") == [row["unixReviewTime"] for row in ROWS]
    assert not found.bad
    assert found.size == path.stat().st_size


@pytest.mark.parametrize("form", FORMS)
def test_a_recipe_that_says_amazon_reads_all_of_them(tmp_path: Path, form: str) -> None:
    path = tmp_path / "input"
    path.write_bytes(FORMS[form].encode())
    assert read(path, Recipe.of(format="amazon")).texts == [row["reviewText"] for row in ROWS]


def test_a_bad_object_is_named_by_the_line_on_which_it_begins(tmp_path: Path) -> None:
    rows = [review("one"), review("two", None), review("three"), {"rating": 4}]
    found = read_bytes(tmp_path, pretty(rows).encode())
    assert found.texts == ["one", "three"]
    assert [(p.line, p.reason) for p in found.places] == [
        (5, "missing_rating"), (13, "missing_text")
    ]  # fmt: skip


def test_an_object_that_is_never_closed_costs_itself_alone(tmp_path: Path) -> None:
    lines = pretty(ROWS).splitlines(keepends=True)
    closing = [number for number, line in enumerate(lines) if line == "}\n"]
    del lines[closing[3]]
    found = read_bytes(tmp_path, "".join(lines).encode())
    assert found.texts == [row["reviewText"] for n, row in enumerate(ROWS) if n != 3]
    assert found.bad == {"invalid_json": 1}


def test_a_string_that_is_never_closed_costs_its_object_alone(tmp_path: Path) -> None:
    rows = [review(text) for text in ("one", "two", "three", "four")]
    text = pretty(rows).replace('"two"', '"two')
    found = read_bytes(tmp_path, text.encode())
    assert found.texts == ["one", "three", "four"]
    assert found.bad == {"invalid_json": 1}


def test_what_stands_between_objects_is_one_bad_record(tmp_path: Path) -> None:
    text = pretty(ROWS[:2]) + "what is\nthis?\n" + pretty(ROWS[2:])
    found = read_bytes(tmp_path, text.encode())
    assert found.texts == [row["reviewText"] for row in ROWS]
    assert found.bad == {"invalid_json": 1}
    assert found.places[0].line == len(pretty(ROWS[:2]).splitlines()) + 1


def test_an_end_in_the_middle_of_an_object_is_one_bad_record(tmp_path: Path) -> None:
    found = read_bytes(tmp_path, pretty(ROWS).encode()[:-30])
    assert len(found.reviews) == len(ROWS) - 1
    assert found.bad == {"invalid_json": 1}


def test_an_object_that_grows_beyond_all_bounds_is_given_up_at_its_first_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reviews.corpora.json.objects.LONGEST_OBJECT", 1000)
    # Every object here is 300 bytes or so; the second one opens a brace too many.
    texts = [json.dumps(row) for row in ROWS]
    texts[1] = texts[1].replace("{", '{"x": {', 1)
    text = "  ".join(texts[:1]) + "\n" + texts[1] + "\n" + "  ".join(texts[2:])
    found = read_bytes(tmp_path, text.encode())
    assert found.texts == [row["reviewText"] for n, row in enumerate(ROWS) if n != 1]
    assert found.records == len(ROWS)


def lost(damaged: bytes, folder: Path) -> int:
    """Number of ROWS that a damaged file does not give as they were."""
    path = folder / "input"
    path.write_bytes(damaged)
    splits = plan_splits([str(path)], Recipe.of(format="amazon"))
    texts = read_splits(splits, WHOLE).texts
    return sum(row["reviewText"] not in texts for row in ROWS)


@settings(max_examples=300)
@given(st.data())
def test_one_damaged_byte_costs_two_pretty_printed_records_at_most(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    text = pretty(ROWS).encode()
    # The file's first two lines say how its objects are set.
    place = data.draw(st.integers(text.index(b"\n", 2), len(text) - 1))
    byte = data.draw(st.sampled_from(b'{}[]",:\\\nx\xff 7') | st.integers(0, 255))
    damaged = text[:place] + bytes([byte]) + text[place + 1 :]
    assert lost(damaged, tmp_path_factory.getbasetemp()) <= 2


@settings(max_examples=100)
@given(st.lists(st.integers(0, 400), max_size=30), st.sampled_from(sorted(FORMS)))
def test_the_sizes_in_which_bytes_arrive_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], form: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "input"
    text = FORMS[form].encode()
    path.write_bytes(text)
    assert detect_format(str(path)) in ("jsonl", "json-objects")
    split = plan_splits([str(path)], Recipe())[0]
    whole = read_splits([split])
    pieces = []
    for size in [*sizes, len(text)]:
        pieces.append(text[:size])
        text = text[size:]
    assert b"".join(pieces) == path.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reviews.corpora.stretches._STRETCH", 1)
        patch.setattr("reviews.corpora.read.read_input", lambda path: iter(pieces))
        patch.setattr("reviews.corpora.read.read_lines_from", lambda *split: iter(pieces))
        cut = read_splits([split])
    assert cut == whole
