"""Temperature of a classifier, its calibration error, and thresholds of a wanted precision.

Logits are (n,) for two classes, of which they speak for the second, or (n, C); labels (n,).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from reviews.errors import UserError
from reviews.metrics import precision_recall, probabilities

Array = np.ndarray
LOWEST, HIGHEST = 0.05, 20.0  # temperatures
BINS = 15  # of equal width over 0 to 1, as Guo et al. have them
_HALVINGS = 60


def fit_temperature(logits: Array, labels: Array) -> float:
    """The temperature by which logits are divided so that their loss on the labels is least
    (Guo et al. 2017), between LOWEST and HIGHEST.

    The loss is convex in the inverse of the temperature: where its slope is 0 is found by halving.
    """
    wide = _wide(logits)
    truth = wide[np.arange(len(labels)), labels]

    def slope(inverse: float) -> float:
        """Derivative of the mean loss by the inverse temperature."""
        expected = (_softmax(wide * inverse) * wide).sum(1)
        return float((expected - truth).mean())

    low, high = 1 / HIGHEST, 1 / LOWEST
    for _ in range(_HALVINGS):
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return 1 / float(np.sqrt(low * high))


def _wide(logits: Array) -> Array:
    """Logits (n, C) float64."""
    wide = logits.astype(np.float64)
    return wide if wide.ndim == 2 else np.stack([np.zeros_like(wide), wide], 1)


def _softmax(wide: Array) -> Array:
    found = np.exp(wide - wide.max(1, keepdims=True))
    softmax: Array = found / found.sum(1, keepdims=True)
    return softmax


def reliability(logits: Array, labels: Array) -> dict[str, Any]:
    """Figures of the probability that a classifier gives its own answers.

    `ece`, the expected calibration error, is the mean over reviews of the distance between the
    accuracy and the mean probability of their bin; `bins` has, for each bin that holds reviews,
    `low`, `high`, `n`, `confidence` (mean probability) and `accuracy`.
    """
    chances = _softmax(_wide(logits))
    sure = chances.max(1)
    right = chances.argmax(1) == labels
    number = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    bins, error = [], 0.0
    for one in np.unique(number).tolist():
        here = number == one
        confidence, accuracy = float(sure[here].mean()), float(right[here].mean())
        error += int(here.sum()) / len(labels) * abs(accuracy - confidence)
        bins.append({"low": one / BINS, "high": (one + 1) / BINS, "n": int(here.sum()),
                     "confidence": confidence, "accuracy": accuracy})
    return {"ece": error, "bins": bins}


class Threshold(NamedTuple):
    """A probability of the second class from which on it is said, and what comes of it."""

    threshold: float
    precision: float  # of the class that was asked about
    recall: float


def find_threshold(
    logits: Array, labels: Array, classes: Sequence[str], name: str, precision: float
) -> Threshold:
    """The threshold at which a class has at least this precision, and of these the one with the
    highest recall; UserError where there is none.

    logits: of two classes, after the temperature.
    """
    if len(classes) != 2:
        raise UserError(f"a threshold is for two classes; the model has {', '.join(classes)}")
    if name not in classes:
        raise UserError(f"--precision-of {name}: the classes are {', '.join(classes)}")
    second = probabilities(logits.reshape(-1, 1))[:, 1].astype(np.float64)
    number = list(classes).index(name)
    curve = precision_recall(labels, second, number)
    good = np.flatnonzero(curve.precision >= precision)
    if not len(good):
        raise UserError(f"no threshold reaches a precision of {precision:g} for {name}: the "
                        f"highest is {curve.precision.max(initial=0.0):.4f}")
    return Threshold(*(float(values[good[-1]]) for values in curve))


def at_threshold(
    logits: Array, labels: Array, threshold: float, number: int
) -> Threshold:
    """Precision and recall of class 0 or 1 at a threshold."""
    second = probabilities(logits.reshape(-1, 1))[:, 1]
    said, true = (second >= threshold) == bool(number), labels == number
    both = int((said & true).sum())
    return Threshold(threshold, both / max(1, int(said.sum())), both / max(1, int(true.sum())))
