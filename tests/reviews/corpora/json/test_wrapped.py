"""JSON that wraps its reviews, or has them by columns, is told from reviews on the first look."""

import json
from pathlib import Path
from typing import Any

import pytest

from reviews.errors import UserError
from reviews.recipe import Recipe
from tests.reviews.corpora.reading import json_lines, read_bytes, review

REVIEWS = [review(f'text {n} {{of}} [it] \\ "', n % 5 + 1) for n in range(30)]
COLUMNS = {"text": {str(n): row["text"] for n, row in enumerate(REVIEWS)},
           "rating": {str(n): row["rating"] for n, row in enumerate(REVIEWS)}}
SHAPES = [{}, {"indent": 2}]


@pytest.mark.parametrize("layout", SHAPES)
@pytest.mark.parametrize("format", ["auto", "jsonl", "amazon"])
@pytest.mark.parametrize("value", [
    {"reviews": REVIEWS}, {"count": 30, "product": "a {b}", "reviews": REVIEWS},
    {"meta": {"page": 1}, "tags": [], "reviews": REVIEWS, "next": None}])
def test_one_object_around_reviews_is_refused_with_how_to_take_them_out(
    tmp_path: Path, layout: dict[str, Any], format: str, value: dict[str, Any]
) -> None:
    data = json.dumps(value, **layout).encode()
    with pytest.raises(UserError, match=r"input: one JSON object around its reviews; .*reviews"):
        read_bytes(tmp_path, data, Recipe.of(format=format))


@pytest.mark.parametrize("layout", SHAPES)
@pytest.mark.parametrize("value", [
    COLUMNS, {name: list(column.values()) for name, column in COLUMNS.items()},
    {"columns": ["text", "rating"], "index": [0, 1], "data": [["good", 5], ["bad", 1]]}])
def test_columns_are_refused_with_how_to_make_rows_of_them(
    tmp_path: Path, layout: dict[str, Any], value: dict[str, Any]
) -> None:
    data = json.dumps(value, **layout).encode()
    with pytest.raises(UserError, match="input: JSON by columns; write it by rows"):
        read_bytes(tmp_path, data)


def test_a_file_too_large_to_be_seen_whole_is_refused_too(tmp_path: Path) -> None:
    many = [review("long text " * 100, n % 5 + 1) for n in range(3000)]
    for layout in SHAPES:
        with pytest.raises(UserError, match="one JSON object around its reviews"):
            read_bytes(tmp_path, json.dumps({"reviews": many}, **layout).encode())


@pytest.mark.parametrize("row", [
    review("good", 5, images=[{"url": "x"}]), review("good", 5, helpful=[1, 2], other={"a": 1}),
    {"images": [{"url": "x"}], "Text": "good", "rating": 5}])
@pytest.mark.parametrize("layout", SHAPES)
def test_one_review_with_lists_and_objects_in_it_is_a_review(
    tmp_path: Path, row: dict[str, Any], layout: dict[str, Any]
) -> None:
    assert read_bytes(tmp_path, json.dumps(row, **layout).encode()).texts == ["good"]


def test_a_damaged_bracket_in_the_first_review_makes_no_wrapper_of_it(tmp_path: Path) -> None:
    rows = [{"helpful": [1, 2], **row} for row in REVIEWS]
    data = "\n".join(json.dumps(row, indent=2) for row in rows).encode()
    damaged = data.replace(b"1,", b"{,", 1)
    found = read_bytes(tmp_path, damaged, Recipe.of(max_bad_fraction=1.0))
    assert len(found.texts) >= len(rows) - 2


def test_several_objects_and_named_texts_are_reviews(tmp_path: Path) -> None:
    rows = [{"images": [{"url": "x"}], "said": "good", "rating": 5}]
    recipe = Recipe.of(text_field="said")
    assert read_bytes(tmp_path, json_lines(rows), recipe).texts == ["good"]
    assert read_bytes(tmp_path, json_lines(rows * 2), recipe).texts == ["good"] * 2


@pytest.mark.parametrize("layout", SHAPES)
def test_pythons_nan_is_null_where_the_recipe_says_so(
    tmp_path: Path, layout: dict[str, Any]
) -> None:
    rows = [review("a", 5, price=float("nan")), review("b NaN", float("nan")),
            review("Infinity", 3), review("c", float("-inf"))]
    data = b"\n".join(json.dumps(row, **layout).encode() for row in rows)
    found = read_bytes(tmp_path, data, Recipe.of(json_nan=True))
    assert found.texts == ["a", "Infinity"]
    assert found.bad == {"missing_rating": 2}
    assert read_bytes(tmp_path, data, Recipe()).bad == {"invalid_json": 3}


@pytest.mark.parametrize("record", [
    b'{"text": "x", "rating": NaN', b"NaN", b'{"rating": nan}',
    b'{"text": "\\ud800", "rating": NaN}', b'{"x": NaN, "y": \xff}'])
def test_nan_makes_nothing_else_json(tmp_path: Path, record: bytes) -> None:
    data = json_lines([review(), review()]) + record + b"\n"
    found = read_bytes(tmp_path, data, Recipe.of(json_nan=True))
    assert len(found.texts) == 2
    assert found.bad.total() == 1
