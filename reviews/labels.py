"""From what a review carries, a label or a rating, to its class."""

import numpy as np
import pyarrow as pa

from reviews.recipe import Labels

Array = np.ndarray
NO_LABEL = 255  # neutral, or nothing to go by

# How corpora write the classes, besides their numbers.
_WORDS = {
    "negative": ("negative", "neg", "false", "__label__negative", "__label__neg"),
    "neutral": ("neutral", "neu", "__label__neutral", "__label__neu"),
    "positive": ("positive", "pos", "true", "__label__positive", "__label__pos"),
}


def label_meanings(rules: Labels) -> dict[str, int]:
    """The class of each label, in lower case; those of `label_values`, if given.

    Numbers count from 0, but from 1 for fastText and where ratings are the classes. The
    `neutral_values`, and where there is no class for them neutral ones, are NO_LABEL.
    """
    dropped = dict.fromkeys(
        (value.strip().lower() for value in rules.neutral_values), NO_LABEL)
    if rules.label_values:
        return dropped | {
            value.strip().lower(): place
            for place, values in enumerate(rules.label_values)
            for value in values.split("|")
        }
    first = 1 if rules.classes == "ratings" else 0
    meanings = dict.fromkeys(_WORDS["neutral"], NO_LABEL) if rules.classes == "two" else {}
    for place, name in enumerate(rules.class_names):
        meanings |= dict.fromkeys(_WORDS.get(name, ()), place)
        meanings |= {str(place + first): place, f"__label__{place + 1}": place}
    return meanings | dropped


def labels_from_ratings(rating: Array, rules: Labels) -> Array:
    """Class (n,) uint8 of each rating (NaN: none); NO_LABEL for neutral and missing ones."""
    label = np.full(len(rating), NO_LABEL, np.uint8)
    if rules.classes == "ratings":
        known = ~np.isnan(rating)
        low = rules.rating_range[0]
        label[known] = np.ceil(rating[known] - (low + 0.5))  # the nearest; ties go to the lower
        return label
    if rules.classes == "three":
        label[(rating > rules.negative_to) & (rating < rules.positive_from)] = 1
    label[rating <= rules.negative_to] = 0
    label[rating >= rules.positive_from] = len(rules.class_names) - 1
    return label


def settle_labels(
    label: pa.Array | pa.ChunkedArray, rating: pa.Array | pa.ChunkedArray, rules: Labels
) -> tuple[Array, Array]:
    """Class (n,) uint8 and rating (n,) float32 of each review; nulls become NO_LABEL and NaN.

    A label that came with the review wins over what its rating says.
    """
    ratings = np.array(rating.fill_null(np.nan), np.float32)
    labels = np.array(label.fill_null(NO_LABEL), np.uint8)
    return np.where(labels == NO_LABEL, labels_from_ratings(ratings, rules), labels), ratings
