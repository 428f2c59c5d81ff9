"""Figures of a classifier are scikit-learn's, for any truth and scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from reviews.metrics import (
    POINTS,
    WANTED,
    confusion_matrix,
    evaluate_scores,
    precision_recall,
    precision_recall_table,
    probabilities,
    roc_auc,
)

CLASSES = ("negative", "positive")
# Few different scores, so that there are ties, on both sides of 0.
LABELS_AND_SCORES = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([-30.0, -1.5, -0.5, 0.0, 0.5, 2.0, 40.0])),
    min_size=1, max_size=60,
)


@given(LABELS_AND_SCORES)
def test_all_figures_are_those_of_scikit_learn(rows: list[tuple[int, float]]) -> None:
    truth, logits = np.array([r[0] for r in rows], np.uint8), np.array([r[1] for r in rows])
    predicted = logits >= 0
    figures = evaluate_scores(truth, logits, CLASSES)
    assert figures["n"] == len(rows)
    assert figures["accuracy"] == pytest.approx(sklearn.accuracy_score(truth, predicted))
    every = sklearn.precision_recall_fscore_support(
        truth, predicted, labels=[0, 1], zero_division=0
    )
    for name, expected in zip(("precision", "recall", "f1"), every[:3], strict=True):
        assert figures[name] == pytest.approx(dict(zip(CLASSES, expected, strict=True)))
    assert figures["f1_macro"] == pytest.approx(np.mean(every[2]))
    assert figures["confusion_matrix"] == (
        sklearn.confusion_matrix(truth, predicted, labels=[0, 1]).tolist()
    )
    if 0 < truth.sum() < len(truth):
        assert figures["roc_auc"] == pytest.approx(sklearn.roc_auc_score(truth, logits))
    else:
        assert figures["roc_auc"] is None


def test_the_loss_is_the_mean_cross_entropy() -> None:
    truth, logits = np.array([0, 1, 1, 0]), np.array([-2.0, 1.0, -0.5, 3.0])
    probabilities = 1 / (1 + np.exp(-logits))
    expected = sklearn.log_loss(truth, probabilities)
    assert evaluate_scores(truth, logits, CLASSES)["loss"] == pytest.approx(expected)


def test_the_loss_of_a_sure_mistake_is_finite() -> None:
    logits = np.array([800.0], np.float32)
    assert evaluate_scores(np.array([0]), logits, CLASSES)["loss"] == pytest.approx(800.0)


def test_rows_of_the_confusion_matrix_are_the_true_class() -> None:
    truth, predicted = np.array([0, 0, 0, 1], np.uint8), np.array([1, 1, 0, 1])
    assert confusion_matrix(truth, predicted, 2).tolist() == [[1, 2], [0, 1]]


def test_scores_without_any_difference_have_an_area_of_one_half() -> None:
    assert roc_auc(np.array([0, 1, 1]), np.zeros(3)) == 0.5


MOODS = ("bad", "mixed", "good")


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.integers(0, 99))
def test_figures_of_more_classes_are_those_of_scikit_learn(labels: list[int], seed: int) -> None:
    truth = np.array(labels, np.uint8)
    logits = np.random.default_rng(seed).normal(size=(len(labels), 3))
    predicted, each = logits.argmax(1), [0, 1, 2]
    figures = evaluate_scores(truth, logits, MOODS)
    assert figures["accuracy"] == pytest.approx(sklearn.accuracy_score(truth, predicted))
    every = sklearn.precision_recall_fscore_support(
        truth, predicted, labels=each, zero_division=0)
    for name, expected in zip(("precision", "recall", "f1"), every[:3], strict=True):
        assert figures[name] == pytest.approx(dict(zip(MOODS, expected, strict=True)))
    assert figures["f1_macro"] == pytest.approx(np.mean(every[2]))
    assert figures["confusion_matrix"] == (
        sklearn.confusion_matrix(truth, predicted, labels=each).tolist())
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert figures["loss"] == pytest.approx(sklearn.log_loss(truth, chances, labels=each))
    if set(truth) == set(each):
        assert figures["roc_auc"] == pytest.approx(
            sklearn.roc_auc_score(truth, chances, multi_class="ovr", average="macro"))
    else:
        assert figures["roc_auc"] is None


def test_probabilities_of_large_logits_are_finite() -> None:
    found = probabilities(np.array([[1e4], [-1e4]], np.float32))
    assert found.tolist() == [[0, 1], [1, 0]]


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Truth (n,) and logits (n,) that say something of it, with ties."""
    draw = np.random.default_rng(seed)
    truth = draw.random(n) < 0.7
    return truth.astype(np.uint8), np.round(draw.normal(2.0 * truth - 1.0, 1.5), 2)


@pytest.mark.parametrize("number", [0, 1])
@given(LABELS_AND_SCORES)
def test_the_precision_recall_curve_is_that_of_scikit_learn(
    number: int, rows: list[tuple[int, float]]
) -> None:
    truth = np.array([row[0] for row in rows], np.uint8)
    second = probabilities(np.array([[row[1]] for row in rows]))[:, 1].astype(np.float64)
    if not (truth == number).any():
        return  # scikit-learn calls the recall of an absent class 1
    curve = precision_recall(truth, second, number)
    precision, recall, thresholds = sklearn.precision_recall_curve(
        truth == number, second if number else -second)
    # Its last point, of no threshold, is precision 1 at recall 0. The first class is never said of
    # a review whose second one is certain: a threshold is 1 at most.
    certain = number == 0 and second.max() == 1
    assert len(curve.threshold) == len(thresholds) - certain
    assert curve.precision == pytest.approx(precision[-2::-1][: len(curve.threshold)])
    assert curve.recall == pytest.approx(recall[-2::-1][: len(curve.threshold)])
    for threshold, one, other in zip(*curve, strict=True):
        said = (second >= threshold) == bool(number)
        assert one == pytest.approx(sklearn.precision_score(truth == number, said))
        assert other == pytest.approx(sklearn.recall_score(truth == number, said))


@pytest.mark.parametrize("number", [0, 1])
def test_the_table_has_the_threshold_of_the_highest_recall_for_each_wanted_precision(
    number: int
) -> None:
    truth, logits = drawn(3000)
    second = probabilities(logits[:, None])[:, 1].astype(np.float64)
    found = precision_recall_table(truth, logits, CLASSES)[CLASSES[number]]
    score = second if number else -second
    precision, recall, _ = sklearn.precision_recall_curve(truth == number, score)
    assert found["average_precision"] == pytest.approx(
        sklearn.average_precision_score(truth == number, score))
    assert [one["wanted"] for one in found["wanted"]] == [
        wanted for wanted in WANTED if (precision[:-1] >= wanted).any()]
    assert len(found["wanted"]) > 2
    for one in found["wanted"]:
        said = (second >= one["threshold"]) == bool(number)
        assert one["precision"] >= one["wanted"]
        assert one["precision"] == pytest.approx(sklearn.precision_score(truth == number, said))
        assert one["recall"] == pytest.approx(recall[:-1][precision[:-1] >= one["wanted"]].max())


def test_a_curve_that_is_drawn_has_few_points_and_both_of_its_ends() -> None:
    truth, logits = drawn(5000)
    curve = precision_recall_table(truth, logits, CLASSES)["negative"]["curve"]
    assert 50 < len(curve) <= POINTS
    recalls = [point[0] for point in curve]
    assert recalls == sorted(recalls) and recalls[-1] == 1 and recalls[0] < 0.01


def test_one_class_or_three_have_no_table() -> None:
    assert precision_recall_table(np.ones(5, np.uint8), np.zeros(5), CLASSES) == {}
    assert precision_recall_table(np.array([0, 1, 2]), np.zeros((3, 3)), ("a", "b", "c")) == {}
