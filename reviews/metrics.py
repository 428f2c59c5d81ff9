"""Metrics of scores, from the confusion matrix and the ranks of the scores."""

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


def macro_roc_auc(truth: Array, scores: Array) -> float | None:
    """Mean over the classes of each one's area against all others; scores (n, C).

    None when one of the classes is missing.
    """
    areas = [roc_auc(truth == number, scores[:, number]) for number in range(scores.shape[1])]
    known = [area for area in areas if area is not None]
    return sum(known) / len(areas) if len(known) == len(areas) else None


def evaluate_scores(truth: Array, logits: Array, classes: Sequence[str]) -> dict[str, Any]:
    """All figures of a classifier.

    Args:
        truth: (n,) numbers of the classes.
        logits: (n,) for two classes, where >= 0 says the second; else (n, C), the highest wins.
        classes: names (C,).

    A ratio whose denominator is 0 counts as 0, as scikit-learn has it.
    """
    wide = logits.astype(np.float64)
    if wide.ndim == 1:
        predicted = (wide >= 0).astype(np.int64)
        loss = np.logaddexp(0.0, wide) - wide * truth
        area = roc_auc(truth, logits)
    else:
        predicted = wide.argmax(1)
        wide = wide - wide.max(1, keepdims=True)
        logs = wide - np.log(np.exp(wide).sum(1, keepdims=True))  # of probabilities
        loss = -logs[np.arange(len(truth)), truth]
        area = macro_roc_auc(truth, np.exp(logs))
    matrix = confusion_matrix(truth, predicted, len(classes))
    hits = np.diag(matrix).astype(np.float64)
    precision = hits / np.maximum(1, matrix.sum(0))
    recall = hits / np.maximum(1, matrix.sum(1))
    f1 = 2 * hits / np.maximum(1, matrix.sum(0) + matrix.sum(1))
    return {
        "n": len(truth),
        "loss": float(loss.mean()),
        "accuracy": float(hits.sum() / len(truth)),
        "f1_macro": float(f1.mean()),
        "precision": dict(zip(classes, precision.tolist(), strict=True)),
        "recall": dict(zip(classes, recall.tolist(), strict=True)),
        "f1": dict(zip(classes, f1.tolist(), strict=True)),
        "roc_auc": area,
        "confusion_matrix": matrix.tolist(),
    }


def probabilities(logits: Array) -> Array:
    """(n, classes) float32 of logits (n, C): one output speaks for the second of two classes."""
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], 1)
    shifted = logits.astype(np.float64)
    shifted = np.exp(shifted - shifted.max(1, keepdims=True))
    found: Array = (shifted / shifted.sum(1, keepdims=True)).astype(np.float32)
    return found
