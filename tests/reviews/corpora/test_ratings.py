"""Texts that carry a rating, on scales that they name and on the recipe's."""

import math
from pathlib import Path

import pytest

from reviews.corpora import plan_splits, read_blocks
from reviews.corpora.ratings import RatingScale
from reviews.recipe import Recipe
from tests.reviews.corpora.reading import json_lines, read_bytes, review

STARS = RatingScale(texts=True)


@pytest.mark.parametrize(("text", "rating"), [
    ("4.0 out of 5 stars", 4), ("4,0 von 5 Sternen", 4), ("3,5 sur 5 étoiles", 3.5),
    ("5.0 de 5 estrellas", 5), ("1,0 su 5 stelle", 1), ("Rated 4 out of 5", 4), ("4 of 5", 4),
    ("10/10", 5), ("8/10", 4), ("5 / 10", 2.5), ("1/10", 1), ("0/10", 1), ("4/5", 4),
    ("90/100", 4.5), ("80%", 4), ("80 %", 4), ("0%", 1),
    ("5つ星のうち4.0", 4), ("5 yıldız üzerinden 3,5", 3.5), ("4,0 av 5 stjärnor", 4),
    ("4,0 z 5 gwiazdek", 4),
    ("★★★★☆", 4), ("★☆☆☆☆", 1), ("★★★½☆", 3.5), ("★★★★★★★★☆☆", 4), ("☆☆☆☆☆", 1),
])  # fmt: skip
def test_a_text_that_names_its_scale_is_its_share_of_the_highest_rating(
    text: str, rating: float
) -> None:
    assert STARS.read(text) == pytest.approx(rating)
    assert STARS.read(f" {text.upper()} ") == pytest.approx(rating)
    wide = RatingScale(0, 10, True).read(text)
    assert wide == (0 if text[0] in "0☆" else pytest.approx(2 * rating if text != "1/10" else 1))


@pytest.mark.parametrize(("text", "rating"), [
    ("4,5", 4.5), ("Rated 5", 5), ("Rating: 3", 3), ("5 stars", 5), ("1 star", 1),
    ("4-star rating", 4), ("★★★★", 4), ("⭐⭐⭐", 3), ("⭐️⭐️", 2), ("★★½", 2.5), ("4★", 4),
    ("5星", 5), ("4*", 4), ("4½", 4.5), ("3 ½ stars", 3.5), ("7", 7), ("Rated 9", 9), ("7,5", 7.5),
])  # fmt: skip
@pytest.mark.parametrize("scale", [STARS, RatingScale(0, 10, True)])
def test_a_number_in_words_or_marks_is_one_on_the_recipes_scale(
    scale: RatingScale, text: str, rating: float
) -> None:
    assert scale.read(text) == rating


@pytest.mark.parametrize("text", [
    "", "five", "out of 5", "6 out of 5", "11/10", "4/0", "★ good", "1,000", "12/31/2011", "☺",
    "4 out of 5 out of 5", "2011-03-04", "4.5.6", "½ off", "-3/5"])
def test_other_texts_are_no_rating(text: str) -> None:
    assert STARS.read(text) is None


@pytest.mark.parametrize("text", ["4.0 out of 5 stars", "8/10", "★★★★☆", "4,5", "Rated 4"])
def test_a_recipe_without_the_key_reads_numbers_alone(text: str) -> None:
    assert RatingScale().read(text) is None
    assert RatingScale().read(" 4.5 ") == 4.5
    assert math.isnan(RatingScale().read("nan") or 0)


def test_the_recipes_scale_says_what_is_out_of_range(tmp_path: Path) -> None:
    data = json_lines(review("x", value) for value in (0, 1, 7.5, 10, 11, "9/10", "Rated 8"))
    recipe = Recipe.of(rating_scale=(0, 10), rating_texts=True)
    found = read_bytes(tmp_path, data, recipe)
    assert found.column("rating") == [0, 1, 7.5, 10, 9, 8]
    assert found.bad == {"rating_out_of_range": 1}


def test_what_is_missing_is_dropped_where_the_recipe_says_so(tmp_path: Path) -> None:
    rows = [{"text": "x", "rating": 5}, {"text": None, "rating": 5}, {"text": "x"},
            {"text": "x", "rating": 9}]
    path = tmp_path / "reviews"
    path.write_bytes(json_lines(rows))
    [block] = read_blocks(plan_splits([str(path)], Recipe())[0], Recipe.of(missing="drop"))
    assert (block.records, block.dropped, block.bad) == (
        4, {"missing": 2}, {"rating_out_of_range": 1})
    assert [place.line for place in block.places] == [4]
    assert (block.seen.low, block.seen.high) == (5, 9)
    [block] = read_blocks(plan_splits([str(path)], Recipe())[0], Recipe())
    assert block.dropped == {}
    assert block.bad == {"missing_text": 1, "missing_rating": 1, "rating_out_of_range": 1}
