"""How good scores are, from the confusion matrix and the ranks of the scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray


def confusion_matrix(truth: Array, predicted: Array, classes: int) -> Array:
    """(classes, classes) counts: rows are the true class, columns the predicted one."""
    cells = truth.astype(np.int64) * classes + predicted
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def roc_auc(truth: Array, scores: Array) -> float | None:
    """Area under the ROC curve: the chance that a positive outscores a negative, ties half.

    None when one of the classes is missing.
    """
    positive = int((truth == 1).sum())
    negative = len(truth) - positive
    if not positive or not negative:
        return None
    _, where, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[where]  # average rank of ties, from 1
    total = float(ranks[truth == 1].sum())
    return (total - positive * (positive + 1) / 2) / (positive * negative)


def evaluate_scores(truth: Array, logits: Array, classes: Sequence[str]) -> dict[str, Any]:
    """All figures of a binary classifier; truth (n,) is 0 or 1, a logit >= 0 says 1.

    A ratio whose denominator is 0 counts as 0, as scikit-learn has it.
    """
    matrix = confusion_matrix(truth, (logits >= 0).astype(np.int64), 2)
    hits = np.diag(matrix).astype(np.float64)
    precision = hits / np.maximum(1, matrix.sum(0))
    recall = hits / np.maximum(1, matrix.sum(1))
    f1 = 2 * hits / np.maximum(1, matrix.sum(0) + matrix.sum(1))
    wide = logits.astype(np.float64)
    loss = np.logaddexp(0.0, wide) - wide * truth
    return {
        "n": len(truth),
        "loss": float(loss.mean()),
        "accuracy": float(hits.sum() / len(truth)),
        "f1_macro": float(f1.mean()),
        "precision": dict(zip(classes, precision.tolist(), strict=True)),
        "recall": dict(zip(classes, recall.tolist(), strict=True)),
        "f1": dict(zip(classes, f1.tolist(), strict=True)),
        "roc_auc": roc_auc(truth, logits),
        "confusion_matrix": matrix.tolist(),
    }
