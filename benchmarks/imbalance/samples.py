"""Training and test reviews of which a given fraction is of the first class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compare.rows import column, draw_sample, write_rows
from reviews.errors import UserError
from reviews.metrics import evaluate_scores
from reviews.predictions import read_predictions
from reviews.store import Store

Array = np.ndarray


def draw_skewed(ids: Array, labels: Array, rare: float, count: int | None = None) -> Array:
    """Positions, ascending, of reviews (n,) of which the fraction `rare` is of class 0.

    Args:
        count: number of reviews; None: as many as both classes have.

    Raises UserError where a class has too few.
    """
    of_class = [np.flatnonzero(labels == 0), np.flatnonzero(labels != 0)]
    parts = (rare, 1 - rare)
    if count is None:
        count = int(min(len(found) / part for found, part in zip(of_class, parts, strict=True)))
    first = round(rare * count)
    drawn = []
    for found, wanted in zip(of_class, (first, count - first), strict=True):
        if not 0 < wanted <= len(found):
            raise UserError(f"{count:,} reviews with {rare:.0%} of the first class need "
                            f"{wanted:,} where there are {len(found):,}")
        drawn.append(found[draw_sample(ids[found], wanted / len(found))])
    return np.sort(np.concatenate(drawn))


def write_training_rows(store: Store, rare: float, count: int, file: Path) -> None:
    """Write the file for `train --rows` of so many reviews of the training split."""
    ids = column(store, "train", "review_id")
    write_rows(file, ids, draw_skewed(ids, column(store, "train", "label"), rare, count))


def skewed_figures(predictions: Path, classes: Sequence[str], rare: float) -> dict[str, Any]:
    """Figures of `evaluate` for as many predictions as have the fraction `rare` of class 0."""
    ids, labels, logits = read_predictions(predictions, classes)
    chosen = draw_skewed(ids, labels, rare)
    return evaluate_scores(labels[chosen], logits[chosen], classes)
