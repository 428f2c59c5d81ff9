"""Temperature, calibration error and thresholds, as SciPy, scikit-learn and loops find them."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax
from sklearn.metrics import precision_score, recall_score

from mpi_train.calibration.fit import (
    BINS,
    HIGHEST,
    LOWEST,
    at_threshold,
    find_threshold,
    fit_temperature,
    reliability,
)
from reviews.errors import UserError
from reviews.metrics import probabilities

Array = np.ndarray
CLASSES = ("negative", "positive")


def drawn(n: int, true: float, classes: int = 2, seed: int = 0) -> tuple[Array, Array]:
    """Logits of a model that is `true` times too sure, and labels drawn by the right ones."""
    rng = np.random.default_rng(seed)
    if classes == 2:
        logits = rng.normal(0.5, 1.5, n)
        labels = (rng.random(n) < expit(logits)).astype(np.uint8)
    else:
        logits = rng.normal(0, 1.5, (n, classes))
        chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        labels = (rng.random(n)[:, None] > chances.cumsum(1)).sum(1).astype(np.uint8)
    return logits * true, labels


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("classes", [2, 4])
def test_the_temperature_has_the_least_loss(true: float, classes: int) -> None:
    logits, labels = drawn(20_000, true, classes)

    def loss(temperature: float) -> float:
        wide = logits.reshape(len(labels), -1) / temperature
        wide = np.concatenate([np.zeros((len(wide), 1)), wide], 1) if classes == 2 else wide
        return float(-log_softmax(wide, axis=1)[np.arange(len(labels)), labels].mean())

    found = fit_temperature(logits, labels)
    best = minimize_scalar(loss, bounds=(0.1, 10), method="bounded", options={"xatol": 1e-7})
    assert found == pytest.approx(best.x, rel=2e-4)
    assert found == pytest.approx(true, rel=0.06)


def test_a_model_that_is_never_wrong_has_the_lowest_temperature_and_one_that_always_is_the_highest(
) -> None:
    logits = np.array([3.0, -2.0, 1.0])
    assert fit_temperature(logits, np.array([1, 0, 1])) == pytest.approx(LOWEST)
    assert fit_temperature(logits, np.array([0, 1, 0])) == pytest.approx(HIGHEST)


def test_the_error_is_the_mean_distance_of_accuracy_and_probability_over_bins() -> None:
    logits, labels = drawn(3000, 2.0)
    found = reliability(logits, labels)
    sure = np.maximum(expit(logits), expit(-logits))
    right = (logits >= 0) == labels
    error = 0.0
    for number in range(BINS):
        here = (sure >= number / BINS) & (sure < (number + 1) / BINS + (number == BINS - 1))
        if here.any():
            error += here.mean() * abs(right[here].mean() - sure[here].mean())
    assert found["ece"] == pytest.approx(error)
    assert sum(one["n"] for one in found["bins"]) == 3000
    assert all(one["low"] <= one["confidence"] <= one["high"] for one in found["bins"])
    assert min(one["confidence"] for one in found["bins"]) >= 0.5  # labels are the likelier class
    assert reliability(logits / 2, labels)["ece"] < found["ece"] / 3


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("wanted", [0.7, 0.85, 0.95])
def test_a_threshold_has_the_precision_and_the_highest_recall(name: str, wanted: float) -> None:
    logits, labels = drawn(500, 1.0, seed=3)
    logits = np.round(2 * logits) / 2  # many are equal
    number = CLASSES.index(name)
    found = find_threshold(logits, labels, CLASSES, name, wanted)
    second = probabilities(logits.reshape(-1, 1))[:, 1]

    def figures(threshold: float) -> tuple[float, float]:
        said = (second >= threshold).astype(int)
        return (precision_score(labels, said, pos_label=number, zero_division=0),
                recall_score(labels, said, pos_label=number))

    assert figures(found.threshold) == pytest.approx((found.precision, found.recall))
    assert at_threshold(logits, labels, found.threshold, number) == pytest.approx(found)
    assert found.precision >= wanted
    others = [figures(threshold) for threshold in [0.0, *np.unique(second), 1.1]]
    assert found.recall == max(recall for precision, recall in others if precision >= wanted)


def test_what_no_threshold_can_do_is_refused() -> None:
    logits, labels = np.array([2.0, 1.0, -1.0]), np.array([0, 1, 1])
    with pytest.raises(UserError, match=r"of 0\.9 for positive: the highest is 0\.6667"):
        find_threshold(logits, labels, CLASSES, "positive", 0.9)
    with pytest.raises(UserError, match="--precision-of bad: the classes are negative, positive"):
        find_threshold(logits, labels, CLASSES, "bad", 0.9)
    with pytest.raises(UserError, match="a threshold is for two classes; the model has a, b, c"):
        find_threshold(np.zeros((3, 3)), labels, "abc", "a", 0.9)
