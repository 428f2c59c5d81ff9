"""From what a review carries, a label or a rating, to its class."""

import numpy as np
import pyarrow as pa

from reviews.recipe import Recipe

Array = np.ndarray
NO_LABEL = 255  # neutral, or nothing to go by


def labels_from_ratings(rating: Array, recipe: Recipe) -> Array:
    """Class (n,) uint8 of each rating (NaN: none); NO_LABEL for neutral and missing ones."""
    label = np.full(len(rating), NO_LABEL, np.uint8)
    label[rating <= recipe.negative_to] = 0
    label[rating >= recipe.positive_from] = 1
    return label


def settle_labels(
    label: pa.Array | pa.ChunkedArray, rating: pa.Array | pa.ChunkedArray, recipe: Recipe
) -> tuple[Array, Array]:
    """Class (n,) uint8 and rating (n,) float32 of each review; nulls become NO_LABEL and NaN.

    A label that came with the review wins over what its rating says.
    """
    ratings = np.array(rating.fill_null(np.nan), np.float32)
    labels = np.array(label.fill_null(NO_LABEL), np.uint8)
    return np.where(labels == NO_LABEL, labels_from_ratings(ratings, recipe), labels), ratings
