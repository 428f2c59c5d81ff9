"""Meaning of ratings, labels, names and times, alike in every format."""

import datetime
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reviews.labels import NO_LABEL
from reviews.recipe import Recipe
from tests.reviews.corpora.reading import json_lines, read_bytes, review

LABELLED = Recipe.of(label_field="label")


def one(folder: Path, row: dict[str, Any], recipe: Recipe) -> dict[str, Any] | str:
    """The review that a record becomes, or the reason why it does not; never both or neither."""
    complete = {"text": "x", "rating": 3, "label": 1, "user_id": "u", "asin": "a", "timestamp": 1}
    found = read_bytes(folder, json_lines([complete, row]), recipe)
    assert found.records == 2
    return found.reviews[1] if not found.bad else next(iter(found.bad))


def rating_of(folder: Path, value: Any) -> Any:
    found = one(folder, review("x", value), Recipe())
    return found if isinstance(found, str) else found["rating"]


@pytest.mark.parametrize(
    "value", [1, 5, 3.5, 1.0, "4", "4.0", " 5 ", "+2", "45e-1", "5.", 4.000000000000001]
)
def test_a_rating_is_a_number_from_1_to_5_or_its_spelling(tmp_path: Path, value: Any) -> None:
    # A store holds ratings as float32.
    assert rating_of(tmp_path, value) == pytest.approx(float(value), rel=1e-7)


@pytest.mark.parametrize(
    "value",
    [0, 6, -1, 0.99, 5.01, 1e300, "0", "6", "-5", "1e999", "nan", "inf", "-Infinity", "NaN"],
)
def test_any_other_number_is_out_of_range(tmp_path: Path, value: Any) -> None:
    assert rating_of(tmp_path, value) == "rating_out_of_range"


@pytest.mark.parametrize(
    "value",
    [None, "", " ", "five", "5 stars", True, False, [5], {"of": 5}, "5,0", "0x5", "1_0", "٥"],
)
def test_what_is_no_number_is_a_missing_rating(tmp_path: Path, value: Any) -> None:
    assert rating_of(tmp_path, value) == "missing_rating"


def test_a_record_without_the_field_has_no_rating(tmp_path: Path) -> None:
    assert one(tmp_path, {"text": "x"}, Recipe()) == "missing_rating"


@pytest.mark.parametrize("value", [None, 5, True, ["x"], {"x": "y"}])
def test_a_text_is_a_string(tmp_path: Path, value: Any) -> None:
    assert one(tmp_path, {"text": value, "rating": 5}, Recipe()) == "missing_text"
    assert one(tmp_path, {"rating": 5}, Recipe()) == "missing_text"


def test_an_empty_text_is_a_text(tmp_path: Path) -> None:
    found = one(tmp_path, review(""), Recipe())
    assert isinstance(found, dict)
    assert found["text"] == ""


@pytest.mark.parametrize(
    ("value", "label"),
    [(0, 0), (1, 1), (0.0, 0), (1.0, 1), (False, 0), (True, 1), ("0", 0), ("1", 1), ("0.0", 0),
     ("1.0", 1), ("negative", 0), ("positive", 1), ("neg", 0), ("pos", 1), ("NEGATIVE", 0),
     ("Positive", 1), (" pos\t", 1), ("False", 0), ("true", 1), ("__label__1", 0),
     ("__label__2", 1)],
)  # fmt: skip
def test_a_label_is_one_of_two_classes_in_many_spellings(
    tmp_path: Path, value: Any, label: int
) -> None:
    found = one(tmp_path, review("x", 3, label=value), LABELLED)
    assert isinstance(found, dict)
    assert found["label"] == label


@pytest.mark.parametrize("value", [2, -1, 0.5, "2", "yes", [], {}, "__label__3", 1e300])
def test_any_other_label_is_unknown(tmp_path: Path, value: Any) -> None:
    assert one(tmp_path, review("x", 5, label=value), LABELLED) == "unknown_label"


@pytest.mark.parametrize("value", ["neutral", " NEU", "__label__neutral"])
def test_who_is_called_neutral_is_neither_of_two_classes_whatever_its_stars(
    tmp_path: Path, value: str
) -> None:
    found = one(tmp_path, review("x", 5, label=value), LABELLED)
    assert isinstance(found, dict)
    assert (found["label"], found["rating"]) == (NO_LABEL, None)


@pytest.mark.parametrize(
    ("value", "label"),
    [(1, 0), (2, 1), (2.0, 1), ("2", 1), ("2.0", 1), ("POOR", 0), (0, None), ("positive", None)],
)
def test_what_labels_mean_can_be_said(tmp_path: Path, value: Any, label: int | None) -> None:
    recipe = Recipe.of(label_field="label", label_values=("1|poor", "2"))
    found = one(tmp_path, review("x", 3, label=value), recipe)
    assert (None if isinstance(found, str) else found["label"]) == label


@pytest.mark.parametrize("row", [review(label=None), review(label=""), review(label=" "), review()])
def test_a_label_that_is_not_there_is_missing(tmp_path: Path, row: dict[str, Any]) -> None:
    assert one(tmp_path, row, LABELLED) == "missing_label"


@pytest.mark.parametrize("rating", [None, 0, 17, "none", [1], True])
def test_a_review_with_a_label_needs_no_rating(tmp_path: Path, rating: Any) -> None:
    found = one(tmp_path, review("x", rating, label=1), LABELLED)
    assert isinstance(found, dict)
    assert (found["label"], found["rating"]) == (1, None)


def test_a_label_is_not_looked_at_unless_it_is_asked_for(tmp_path: Path) -> None:
    found = one(tmp_path, review("x", 5, label="what?"), Recipe())
    assert isinstance(found, dict)
    assert (found["label"], found["rating"]) == (None, 5.0)


@pytest.mark.parametrize(
    ("value", "name"),
    [("A1", "A1"), (12, "12"), (-3, "-3"), (2**64 - 1, str(2**64 - 1)), ("", None), (None, None),
     (1.5, None), (True, None), (["A1"], None)],
)  # fmt: skip
def test_reviewers_and_products_are_strings_and_whole_numbers(
    tmp_path: Path, value: Any, name: str | None
) -> None:
    recipe = Recipe.of(dedupe="reviewer-product")
    found = one(tmp_path, review(user_id=value, asin=value), recipe)
    assert isinstance(found, dict)
    assert (found["reviewer"], found["product"]) == (name, name)


def time_of(folder: Path, value: Any) -> Any:
    found = one(folder, review(timestamp=value), Recipe.of(split_by="time"))
    assert isinstance(found, dict)  # a time that cannot be read is no reason to lose a review
    return found["time"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1557705600, 1557705600),
        (1557705600.9, 1557705600),
        (1557705600123, 1557705600),  # milliseconds
        (-86400, -86400),
        (-0.5, -1),
        (0, 0),
        ("1557705600", 1557705600),
        ("1557705600123", 1557705600),
        ("2019-05-13", 1557705600),
        (" 2019-05-13 ", 1557705600),
        ("2019-05-13 01:02", 1557705600 + 3720),
        ("2019-05-13 01:02:03", 1557705600 + 3723),
        ("2019-05-13T01:02:03.987654", 1557705600 + 3723),
        ("2019-05-13T01:02:03Z", 1557705600 + 3723),
        ("2019-05-13T01:02:03+02:00", 1557705600 + 3723 - 7200),
        ("2019-05-13T01:02:03-0130", 1557705600 + 3723 + 5400),
        ("2020-02-29", 1582934400),
        ("1969-12-31", -86400),
        ("05 13, 2019", 1557705600),  # McAuley's reviewTime
        ("05 3, 2019", 1557705600 - 864000),
    ],
)
def test_times_are_unix_seconds(tmp_path: Path, value: Any, expected: int) -> None:
    assert time_of(tmp_path, value) == expected


@pytest.mark.parametrize(
    "value",
    [None, "", "yesterday", "2019-02-29", "2019-13-01", "2019-05-13T25:00:00", "13 05, 2019", True,
     "02 30, 2019", "2019-05-13x", "05/13/2019", [1557705600], 1e300, "9" * 30, "nan"],
)  # fmt: skip
def test_a_time_that_cannot_be_read_is_none(tmp_path: Path, value: Any) -> None:
    assert time_of(tmp_path, value) is None


MOMENTS = st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2400, 1, 1))


@settings(max_examples=200)
@given(st.lists(MOMENTS | st.none(), min_size=1), st.sampled_from("T "))
def test_iso_times_are_those_of_pythons_calendar(
    tmp_path_factory: pytest.TempPathFactory,
    moments: list[datetime.datetime | None],
    separator: str,
) -> None:
    texts = [moment.isoformat(separator) if moment else "2019-02-31" for moment in moments]
    rows = [review(timestamp=text) for text in texts]
    found = read_bytes(
        tmp_path_factory.getbasetemp(), json_lines(rows), Recipe.of(split_by="time")
    ).column("time")
    utc = datetime.UTC
    assert found == [
        math.floor(moment.replace(microsecond=0, tzinfo=utc).timestamp()) if moment else None
        for moment in moments
    ]
