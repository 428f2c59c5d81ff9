"""Labels that are likely wrong: those that were turned round are found, sure ones first."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from compare.analysis.wrong_labels import LISTED, find_wrong_labels, wrong_labels
from compare.slices import Judged


def test_thresholds_are_the_mean_probability_of_the_label() -> None:
    # By the formula: thresholds 0.6 for class 0 (0.9, 0.8, 0.1) and 0.7 for class 1 (0.8, 0.6).
    chances = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.4, 0.6]])
    rows, likely = find_wrong_labels(np.array([0, 0, 0, 1, 1]), chances)
    assert rows.tolist() == [2]
    assert likely.tolist() == [1]


def test_turned_labels_are_found_in_three_classes() -> None:
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 3, 3_000)
    logits = 2.5 * np.eye(3)[truth] + draw.normal(size=(3_000, 3)) * 0.6
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels, turned = truth.copy(), draw.permutation(3_000)[:150]
    labels[turned] = (truth[turned] + 1) % 3
    rows, likely = find_wrong_labels(labels, chances)
    found = np.isin(rows, turned)
    assert found.mean() > 0.9  # precision
    assert found.sum() > 0.6 * 150  # recall: thresholds are means, so half are below them
    assert (likely[found] == truth[rows[found]]).mean() > 0.99
    margin = chances[rows, likely] - chances[rows, labels[rows]]
    assert np.all(np.diff(margin) <= 0)


def test_a_model_that_is_never_sure_accuses_nobody() -> None:
    rows, _ = find_wrong_labels(np.array([0, 0, 1]), np.array([[0.6, 0.4]] * 3))
    assert set(rows.tolist()) <= {2}
    rows, _ = find_wrong_labels(np.zeros(3, np.int64), np.array([[0.1, 0.9]] * 3))
    assert rows.tolist() == []  # no review has the label 1


def test_all_are_written_and_the_surest_are_shown(tmp_path: Path) -> None:
    logits = np.concatenate([np.linspace(-5, -4, 60), np.linspace(4, 6, 60)])
    labels = (logits > 0).astype(np.int64)
    labels[:30] = 1
    ids = np.arange(7, 127, dtype=np.uint64)
    folds = [Judged(ids[n::2], labels[n::2], logits[n::2]) for n in (0, 1)]
    found = wrong_labels(tmp_path, "bag", folds, ["negative", "positive"], None)
    assert (found["model"], found["n"], found["wrong"]) == ("bag", 120, 30)
    assert found["pairs"] == [{"label": "positive", "said": "negative", "n": 30}]
    assert len(found["reviews"]) == LISTED
    assert found["reviews"][0] == {
        "text": "review_id 7", "label": "positive", "said": "negative",
        "probability": pytest.approx(1 / (1 + np.exp(-5)), rel=1e-5)}
    table = pq.read_table(tmp_path / "wrong-labels.parquet").to_pydict()
    assert table["review_id"] == list(range(7, 37))
    assert set(table["label"]) == {"positive"}
    assert set(table["likely"]) == {"negative"}
