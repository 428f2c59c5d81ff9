"""Precision and recall of systems: of the first run, or of all folds together."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from compare.analysis.precision_recall import curves
from compare.slices import Judged

CLASSES = ("negative", "positive")


def judged(seed: int, classes: int = 2) -> Judged:
    """A run over 200 reviews of its own."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, 200)
    logits = draw.normal(2.0 * labels - 1) if classes == 2 else draw.normal(size=(200, classes))
    return Judged(np.arange(200, dtype=np.uint64), labels, logits)


@pytest.mark.parametrize("folds", [False, True])
def test_seeds_are_shown_by_the_first_run_and_folds_together(folds: bool) -> None:
    runs = [judged(0), judged(1)]
    [found] = curves({"bag": runs}, CLASSES, folds)
    shown = runs if folds else runs[:1]
    labels, logits = (np.concatenate([run[field] for run in shown]) for field in (1, 2))
    assert (found["model"], found["class"]) == ("bag", "negative")
    assert found["average_precision"] == pytest.approx(
        average_precision_score(labels == 0, -logits))


def test_three_classes_have_no_curve() -> None:
    assert curves({"bag": [judged(0, 3)]}, ("a", "b", "c"), False) == []
