"""The class of a review: its own label first, else what its rating says."""

import math

import numpy as np
import pyarrow as pa
import pytest

from reviews.errors import UserError
from reviews.labels import NO_LABEL, label_meanings, labels_from_ratings, settle_labels
from reviews.recipe import Labels, load_recipe

RATINGS = np.array([1, 2, 2.5, 3, 3.5, 4, 5, math.nan], np.float32)
N = NO_LABEL


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (Labels(), [0, 0, N, N, N, 1, 1, N]),
        (load_recipe("rnn2019").labels, [0, 0, 0, 0, N, 1, 1, N]),
        (Labels(negative_to=2.5), [0, 0, 0, N, N, 1, 1, N]),
        (Labels(positive_from=5), [0, 0, N, N, N, N, 1, N]),
        (Labels(negative_to=3.4, positive_from=3.5), [0, 0, 0, 0, 1, 1, 1, N]),
        (Labels(classes="three"), [0, 0, 1, 1, 1, 2, 2, N]),
        (Labels(classes="three", negative_to=2.5, positive_from=5), [0, 0, 0, 1, 1, 1, 2, N]),
        (Labels(classes="ratings"), [0, 1, 1, 2, 2, 3, 4, N]),
        (Labels(classes="ratings", rating_scale=(1, 5)), [0, 1, 1, 2, 2, 3, 4, N]),
    ],
    ids=["default", "2019", "2.5 is negative", "only 5 is positive", "none is neutral",
         "neutral is a class", "others are neutral", "the nearest rating",
         "the nearest of a named scale"],
)
def test_ratings_at_both_bounds_belong_to_the_classes(recipe: Labels, expected: list[int]) -> None:
    assert labels_from_ratings(RATINGS, recipe).tolist() == expected


def test_a_label_that_came_with_the_review_wins_over_its_rating() -> None:
    label = pa.array([0, 1, None, None, 1, None], pa.uint8())
    rating = pa.array([5, 1, 5, 3, None, None], pa.float32())
    for columns in ((label, rating), (pa.chunked_array([label]), pa.chunked_array([rating]))):
        labels, ratings = settle_labels(*columns, Labels())
        assert labels.tolist() == [0, 1, 1, N, 1, N]
        np.testing.assert_array_equal(ratings, np.array([5, 1, 5, 3, math.nan, math.nan]))


def test_no_reviews_have_no_labels() -> None:
    labels, ratings = settle_labels(pa.array([], pa.uint8()), pa.array([], pa.float32()), Labels())
    assert (len(labels), len(ratings)) == (0, 0)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ("two", {"negative": 0, "neg": 0, "0": 0, "__label__1": 0, "false": 0, "neutral": N,
                 "positive": 1, "pos": 1, "1": 1, "__label__2": 1, "true": 1}),
        ("three", {"negative": 0, "neutral": 1, "positive": 2, "0": 0, "1": 1, "2": 2,
                   "__label__1": 0, "__label__2": 1, "__label__3": 2, "__label__neu": 1}),
        ("ratings", {"1": 0, "5": 4, "__label__1": 0, "__label__5": 4}),
    ],
)  # fmt: skip
def test_labels_are_words_or_numbers(classes: str, expected: dict[str, int]) -> None:
    meanings = label_meanings(Labels(classes=classes))
    assert {label: meanings[label] for label in expected} == expected
    assert set(meanings.values()) - {N} == set(range(len(Labels(classes=classes).class_names)))


def test_a_recipe_can_say_what_its_labels_mean() -> None:
    recipe = Labels(label_values=("1", "2"))
    assert label_meanings(recipe) == {"1": 0, "2": 1}
    recipe = Labels(classes="three", label_values=("Bad | poor", "3", "good"))
    assert label_meanings(recipe) == {"bad": 0, "poor": 0, "3": 1, "good": 2}
    with pytest.raises(UserError, match="label_values are 1, but the classes are negative, posi"):
        Labels(label_values=("bad",))


def test_five_steps_of_any_scale_can_be_the_classes() -> None:
    recipe = Labels(classes="ratings", rating_scale=(0, 4), positive_from=3, negative_to=1)
    assert labels_from_ratings(np.array([0, 1, 2.5, 4], np.float32), recipe).tolist() == [
        0, 1, 2, 4]


@pytest.mark.parametrize("classes", ["two", "three"])
def test_neutral_values_are_dropped(classes: str) -> None:
    values = {"two": ("0", "4"), "three": ("0", "1", "4")}[classes]
    recipe = Labels(classes=classes, label_values=values, neutral_values=("2", "Mixed"))
    meanings = label_meanings(recipe)
    assert (meanings["2"], meanings["mixed"], meanings["0"]) == (N, N, 0)
    assert meanings["4"] == len(values) - 1
    with pytest.raises(UserError, match="2: both in label_values and neutral_values"):
        Labels(label_values=("0", "4|2"), neutral_values=("2",))
