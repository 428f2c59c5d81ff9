"""Figures of a classifier are scikit-learn's, for any truth and scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from reviews.metrics import confusion_matrix, evaluate_scores, probabilities, roc_auc

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
