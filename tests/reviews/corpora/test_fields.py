"""Fields found by the recipe, or by the names that public corpora use."""

from pathlib import Path
from typing import Any

import pytest

from reviews.corpora.fields import Names, choose_names
from reviews.errors import UserError
from reviews.recipe import Recipe
from tests.reviews.corpora.reading import WHOLE, json_lines, mcauley, read_bytes, review


def names(*samples: dict[str, Any], recipe: Recipe = WHOLE) -> Names:
    return choose_names("file", recipe, samples)


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (mcauley(1), ("reviewText", "overall", "reviewerID", "asin", "unixReviewTime")),
        ({"rating": 5.0, "title": "x", "text": "x", "asin": "B", "parent_asin": "P", "user_id": "A",
          "timestamp": 1588687728923}, ("text", "rating", "user_id", "asin", "timestamp")),
        ({"customer_id": 1, "product_id": "B", "star_rating": 5, "review_headline": "x",
          "review_body": "x", "review_date": "2015-08-31"},
         ("review_body", "star_rating", "customer_id", "product_id", "review_date")),
        ({"Id": 1, "ProductId": "B", "UserId": "A", "Score": 5, "Time": 1, "Summary": "x",
          "Text": "x"}, ("Text", "Score", "UserId", "ProductId", "Time")),
        ({"reviewId": 1, "content": "x", "score": 5, "at": "2024-01-01"},
         ("content", "score", None, None, "at")),
        ({"name": "x", "review": "x", "rating": 5}, ("review", "rating", None, None, None)),
        ({"REVIEW_TEXT": "x", "Stars": 5}, ("REVIEW_TEXT", "Stars", None, None, None)),
        ({"": 0, "Clothing ID": 7, "Title": "x", "Review Text": "x", "Rating": 5},
         ("Review Text", "Rating", None, None, None)),
        ({"Star Rating": 5, "Review Title": "x", "Review Text": "x"},
         ("Review Text", "Star Rating", None, None, None)),
        ({"reviews.rating": 5, "reviews.text": "x"},
         ("reviews.text", "reviews.rating", None, None, None)),
        ({"review_id": "r", "user_id": "A", "business_id": "B", "stars": 5.0, "text": "x",
          "date": "2016-03-09 00:00:00"}, ("text", "stars", "user_id", "business_id", "date")),
        ({"review_score": 5, "review_comment_message": "x"},
         ("review_comment_message", "review_score", None, None, None)),
    ],
    ids=["2014", "2023", "customer reviews", "fine food", "app store", "baby", "capitals",
         "clothing", "play console", "datafiniti", "yelp", "olist"],
)  # fmt: skip
def test_the_fields_of_known_corpora_need_no_names(
    sample: dict[str, Any], expected: tuple[str | None, ...]
) -> None:
    found = names(sample)
    assert (found.text, found.rating, found.reviewer, found.product, found.time) == expected
    assert found.label is None


@pytest.mark.parametrize(
    ("sample", "label"),
    [({"review": "x", "sentiment": "positive"}, "sentiment"), ({"text": "x", "Label": 1}, "Label"),
     ({"review": "x", "voted_up": True}, "voted_up"),
     ({"text": "x", "airline_sentiment": "neutral"}, "airline_sentiment"),
     ({"text": "x", "rating": 5, "label": 1}, None)],
)  # fmt: skip
def test_without_a_rating_a_label_is_looked_for(sample: dict[str, Any], label: str | None) -> None:
    assert names(sample).label == label


def test_an_object_that_may_hold_the_missing_field_is_named() -> None:
    inner = {"body": "x", "stars": 5}
    with pytest.raises(UserError, match=r"'_source' is an object, .* jq -c '\. \+ \.\[\"_source"):
        names({"id": 1, "_source": inner})
    with pytest.raises(UserError, match=r"no rating field among id, review; .*'review' is an obj"):
        names({"id": 1, "review": inner})


def test_the_field_that_more_records_fill_is_taken() -> None:
    rows = [{"text": None, "content": "x", "score": None, "stars": 5}] * 3
    assert names(*rows, {"text": "x", "stars": 1}).text == "content"
    assert names(*rows).rating == "stars"


def test_of_two_fields_as_full_the_better_known_one_is_taken() -> None:
    assert names({"body": "x", "reviewText": "x", "score": 4, "overall": 5}).text == "reviewText"


def test_a_text_field_holds_strings() -> None:
    assert names({"review": {"id": 1}, "comment": "x", "rating": 5}).text == "comment"


def test_fields_may_appear_late() -> None:
    assert names({}, {"rating": 5}, {"text": "x"}).roles() == {"text": "text", "rating": "rating"}


def test_names_of_the_recipe_come_first() -> None:
    recipe = Recipe.of(
        text_field="summary", rating_field="votes", time_field="when", split_by="time")
    found = names({"text": "x", "summary": "x", "votes": 1, "rating": 5, "when": 1}, recipe=recipe)
    assert (found.text, found.rating, found.time) == ("summary", "votes", "when")


def test_a_title_is_joined_where_it_is_named_only(tmp_path: Path) -> None:
    rows = [mcauley(1), mcauley(2, summary=None), mcauley(3, summary=7), mcauley(4, summary="")]
    del rows[1]["summary"]
    texts = [row["reviewText"] for row in rows]
    assert read_bytes(tmp_path, json_lines(rows)).texts == texts
    found = read_bytes(tmp_path, json_lines(rows), Recipe.of(title_field="summary"))
    assert found.texts == ["Fine {really}: " + texts[0], *texts[1:]]
    with pytest.raises(UserError, match=r"no field 'titel' among .*; see --title-field"):
        names(rows[0], recipe=Recipe.of(title_field="titel"))


def test_a_label_of_another_name_is_used_where_it_is_named_only() -> None:
    sample = {"text": "x", "recommended": 1}
    assert names(sample, recipe=Recipe.of(label_field="recommended")).roles() == {
        "text": "text", "label": "recommended"
    }  # fmt: skip
    with pytest.raises(UserError, match="name it with --rating-field or --label-field"):
        names(sample)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe.of(text_field="txt"), "file: no field 'txt' among text, stars; see --text-field"),
        (Recipe.of(rating_field="x"), "file: no field 'x' among text, stars; see --rating-field"),
        (Recipe.of(label_field="x"), "file: no field 'x' among text, stars; see --label-field"),
        (Recipe.of(product_field="x"),
         "file: no field 'x' among text, stars; see --product-field"),
        (Recipe.of(format="amazon"),
         "file: no text field among text, stars; name it with --text-fi"),
    ],
)
def test_a_field_that_is_not_there_is_compared_with_those_that_are(
    recipe: Recipe, message: str
) -> None:
    with pytest.raises(UserError) as error:
        names({"text": "x", "stars": 5}, recipe=recipe)
    assert str(error.value).startswith(message)


def test_an_error_names_a_dozen_fields_and_no_more() -> None:
    with pytest.raises(UserError, match=r"no text field among f0, .*, f11, \.\.\.; name it"):
        names({f"f{number}": 1 for number in range(20)})


def test_an_error_is_a_line_of_bearable_length(tmp_path: Path) -> None:
    data = f'"A whole\nreview, {"very " * 99}long",5\n'.encode()
    with pytest.raises(UserError) as error:
        read_bytes(tmp_path, data, Recipe.of(format="csv"))
    assert "among A whole review, very very very very very..., 5; name it" in str(error.value)


def test_where_nothing_can_be_read_the_records_are_bad_and_no_field_is_missed(
    tmp_path: Path,
) -> None:
    assert names().roles() == {
        "text": "reviewText", "rating": "overall", "reviewer": "reviewerID", "product": "asin",
        "time": "unixReviewTime",
    }  # fmt: skip
    assert read_bytes(tmp_path, b"{\n{\n", Recipe.of(format="jsonl")).bad["invalid_json"] > 0


def test_every_file_has_its_own_fields(tmp_path: Path) -> None:
    first = read_bytes(tmp_path, json_lines([mcauley(1)]))
    second = read_bytes(tmp_path, json_lines([review("other", 3)]))
    assert (first.texts, second.texts) == ([mcauley(1)["reviewText"]], ["other"])
