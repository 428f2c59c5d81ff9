"""Baselines: what they learn from, and what they say of the test reviews."""

import importlib.util
import pickle
from pathlib import Path

import numpy as np
import pytest

from compare.baselines import predict, train
from compare.rows import column, texts, write_rows
from reviews.metrics import probabilities
from reviews.store import Store
from tests.requirements import need
from tests.stores import make_store

LEARNERS = ["tfidf-logistic", "tfidf-svm", "fasttext"]


def make(folder: Path, classes: int) -> Store:
    names = ["low", "middle", "high"] if classes == 3 else []
    return make_store(folder, {"train": 600, "test": 200}, length=20, vocabulary=30,
                      classes=names)


def fit(name: str, store: Store, folder: Path, rows: Path | None = None) -> np.ndarray:
    if name == "fasttext":
        need(importlib.util.find_spec("fasttext") is not None, "fasttext (extra bench)")
    train(name, store, folder / "model", 0, rows)
    return predict(name, store, folder / "model")


@pytest.mark.parametrize("classes", [2, 3])
def test_the_majority_is_said_of_all(tmp_path: Path, classes: int) -> None:
    store = make(tmp_path / "store", classes)
    logits = fit("majority", store, tmp_path)
    commonest = np.bincount(column(store, "train", "label")).argmax()
    said = logits >= 0 if classes == 2 else logits.argmax(1)
    assert logits.shape == ((200,) if classes == 2 else (200, 3))
    assert set(said.astype(int).tolist()) == {commonest}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", LEARNERS[:2])
def test_linear_models_learn(tmp_path: Path, name: str, classes: int) -> None:
    store = make(tmp_path / "store", classes)
    logits = fit(name, store, tmp_path)
    labels = column(store, "test", "label")
    said = logits >= 0 if classes == 2 else logits.argmax(1)
    assert logits.shape == ((200,) if classes == 2 else (200, 3))
    assert np.mean(said == labels) > np.bincount(labels).max() / 200 + 0.05
    assert np.array_equal(fit(name, store, tmp_path), logits)  # no seed, no noise


@pytest.mark.parametrize("classes", [2, 3])
def test_fasttext_gives_a_logit_for_each_review(tmp_path: Path, classes: int) -> None:
    store = make(tmp_path / "store", classes)
    logits = fit("fasttext", store, tmp_path)
    assert logits.shape == ((200,) if classes == 2 else (200, 3))
    assert np.isfinite(logits).all()
    assert len(np.unique(logits, axis=0)) > 100
    fasttext = importlib.import_module("fasttext").load_model(str(tmp_path / "model"))
    labels, chances = fasttext.predict(texts(store, "test"), k=1)
    wide = logits if classes == 3 else np.stack([np.zeros(200), logits], 1)
    assert [f"__label__{n}" for n in wide.argmax(1)] == [name for name, in labels]
    assert probabilities(wide).max(1) == pytest.approx([float(p[0]) for p in chances], abs=1e-4)


def test_only_chosen_rows_are_learned_from(tmp_path: Path) -> None:
    store = make(tmp_path / "store", 2)
    labels = column(store, "train", "label")
    negative = np.flatnonzero(labels == 0)
    write_rows(tmp_path / "rows.parquet", column(store, "train", "review_id"), negative)
    fit("majority", store, tmp_path, tmp_path / "rows.parquet")
    assert pickle.loads((tmp_path / "model").read_bytes()).tolist() == [len(negative), 0]
