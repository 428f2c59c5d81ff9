"""Metrics of scores, from the confusion matrix and the ranks of the scores."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
WANTED = (0.8, 0.85, 0.9, 0.95, 0.98, 0.99)  # precisions of the table
POINTS = 100  # at most, of a curve that is drawn
NORMAL = 1.96  # half a 95 % interval in standard errors of a normal distribution


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
    outputs = logits.shape[1]
    found = np.zeros((len(logits), max(2, outputs)))
    found[:, -outputs:] = logits
    found -= found.max(1, keepdims=True)
    np.exp(found, found)
    found /= found.sum(1, keepdims=True)
    return found.astype(np.float32)


class PrecisionRecall(NamedTuple):
    """Precision and recall of one of two classes at k thresholds of the second one's probability,
    from the threshold at which the class is said least often; all (k,)."""

    threshold: Array
    precision: Array
    recall: Array


def precision_recall(truth: Array, second: Array, number: int) -> PrecisionRecall:
    """The curve of class 0 or 1 over all thresholds that tell reviews apart.

    Args:
        truth: (n,) 0 or 1.
        second: (n,) float64, probabilities of the second class.

    A threshold lies midway between two probabilities that occur, so that rounding decides nothing.
    No threshold says the first class of a review whose second one has probability 1.
    """
    order = np.argsort(second if number == 0 else -second, kind="stable")
    ranked, hits = second[order], np.cumsum(truth[order] == number)
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # equal ones go together
    if number == 0:
        ends = ends[ranked[ends] < 1]
    beyond = np.append(ranked[1:], 1.0 - number)
    return PrecisionRecall((ranked + beyond)[ends] / 2, (hits / np.arange(1, len(order) + 1))[ends],
                           (hits / max(1, hits[-1]))[ends])


def precision_recall_table(
    truth: Array, logits: Array, classes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Precision and recall of both classes, by name; empty where there are more than two, or one
    is missing. Logits (n,).

    `average_precision`: sum of the precisions by the recall that each adds; `wanted`: for each
    precision of WANTED that is reached, the threshold with the highest recall; `curve`: recall,
    precision and threshold of some points, ascending by recall.
    """
    if len(classes) != 2 or len(np.unique(truth)) < 2:
        return {}
    second = probabilities(logits.reshape(-1, 1))[:, 1].astype(np.float64)
    found = {}
    for number, name in enumerate(classes):
        curve = precision_recall(truth, second, number)
        added = np.diff(curve.recall, prepend=0.0)
        wanted = []
        for precision in WANTED:
            good = np.flatnonzero(curve.precision >= precision)
            if len(good):
                wanted.append({"wanted": precision, **{
                    field: float(values[good[-1]]) for field, values in curve._asdict().items()}})
        some = np.unique(np.searchsorted(curve.recall, np.linspace(0, 1, POINTS)))
        some = some[some < len(added)]
        found[name] = {
            "average_precision": float((added * curve.precision).sum()), "wanted": wanted,
            "curve": [[round(float(column[point]), 6) for column in
                       (curve.recall, curve.precision, curve.threshold)]
                      for point in some]}
    return found
