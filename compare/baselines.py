"""Baselines of a comparison, each trained and evaluated by a process of its own.

    python -m compare.baselines train NAME STORE FOLDER SEED [ROWS]
    python -m compare.baselines evaluate NAME STORE FOLDER PREDICTIONS

They see what the models see: the store's tokens, no word beyond vocabulary and length.

majority: the commonest class. tfidf-logistic, tfidf-svm: TF-IDF (1 + log of counts) of words and
word pairs that two reviews have, then scikit-learn's logistic regression or linear SVM (squared
hinge); C of 0.3, 1, 3, 10 by the accuracy of 3-fold cross-validation on the training rows.
fasttext: word pairs, 10 dimensions, 2,000,000 buckets, 5 epochs, a thread for each core.
"""

import importlib
import json
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compare.rows import column, read_rows, texts
from compare.systems import SYSTEMS
from reviews.predictions import write_predictions
from reviews.store import Store

Array = np.ndarray
C_GRID = (0.3, 1.0, 3.0, 10.0)
FOLDS = 3
FASTTEXT = {"wordNgrams": 2, "dim": 10, "bucket": 2_000_000, "epoch": 5}
LEAST_CHANCE = 1e-9  # what a probability of 0 counts as in a logit
MODEL = "model"


def main(argv: Sequence[str]) -> None:
    """Train or evaluate one baseline; print its seconds as JSON."""
    action, name, address, folder, *rest = argv
    store, model = Store(address), Path(folder) / MODEL
    for package in SYSTEMS[name].packages:  # their import is no part of the time
        importlib.import_module(package)
    started = time.perf_counter()
    if action == "train":
        train(name, store, model, seed=int(rest[0]), rows=Path(rest[1]) if rest[1:] else None)
    else:
        logits = predict(name, store, model).astype(np.float32)
        write_predictions(rest[0], column(store, "test", "review_id"),
                          column(store, "test", "label"), logits, store.classes)
    print(json.dumps({"seconds": time.perf_counter() - started}))


def train(name: str, store: Store, model: Path, seed: int, rows: Path | None) -> None:
    """Fit a baseline; write it to the file `model`.

    Args:
        rows: file of the training rows, as `train --rows` takes it; None for all of them.
    """
    chosen = read_rows(rows) if rows else np.arange(store.rows("train"))
    labels = column(store, "train", "label")[chosen]
    if name == "majority":
        model.write_bytes(pickle.dumps(np.bincount(labels, minlength=len(store.classes))))
        return
    documents = texts(store, "train", chosen)
    if name == "fasttext":
        _train_fasttext(documents, labels, model, seed)
    else:
        model.write_bytes(pickle.dumps(_fit_linear(name, documents, labels)))


def predict(name: str, store: Store, model: Path) -> Array:
    """Logits of the test split: (n,) for two classes, else (n, C)."""
    if name == "fasttext":
        return _predict_fasttext(texts(store, "test"), len(store.classes), model)
    fitted = pickle.loads(model.read_bytes())  # `train` of the same run wrote it just now
    if name == "majority":
        logs = np.log(np.maximum(fitted, 0.5))
        row = logs[1:] - logs[0] if len(logs) == 2 else logs
        logits = np.tile(row, (store.rows("test"), 1))
        return logits[:, 0] if len(logs) == 2 else logits
    vectorizer, classifier = fitted
    found: Array = classifier.decision_function(vectorizer.transform(texts(store, "test")))
    return found


def _fit_linear(name: str, documents: list[str], labels: Array) -> tuple[Any, Any]:
    """Vectorizer, and the classifier with the best C. The vectorizer counts in all folds."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import LinearSVC

    vectorizer = TfidfVectorizer(token_pattern=r"\S+", lowercase=False, ngram_range=(1, 2),
                                 min_df=2, sublinear_tf=True, dtype=np.float32)
    matrix = vectorizer.fit_transform(documents)
    # Solvers without random numbers.
    classifier = LogisticRegression(max_iter=1000) if name == "tfidf-logistic" else LinearSVC(
        dual=False)
    search = GridSearchCV(classifier, {"C": C_GRID}, cv=FOLDS,
                          n_jobs=len(os.sched_getaffinity(0)))
    return vectorizer, search.fit(matrix, labels).best_estimator_


def _train_fasttext(documents: list[str], labels: Array, model: Path, seed: int) -> None:
    import fasttext

    with tempfile.TemporaryDirectory(dir=model.parent) as folder:
        file = Path(folder) / "train.txt"
        with open(file, "w", encoding="utf-8") as lines:
            for text, label in zip(documents, labels, strict=True):
                lines.write(f"__label__{label} {text}\n")
        fitted = fasttext.train_supervised(
            str(file), thread=len(os.sched_getaffinity(0)), verbose=0, seed=seed, **FASTTEXT)
    fitted.save_model(str(model))


def _predict_fasttext(documents: list[str], classes: int, model: Path) -> Array:
    import fasttext

    # The public predict() of many lines repeats the first probability for all labels, and that of
    # one line fails with NumPy 2.
    binding = fasttext.load_model(str(model)).f
    logs = np.full((len(documents), classes), np.log(LEAST_CHANCE))
    for row, text in enumerate(documents):
        for chance, name in binding.predict(text + "\n", classes, 0.0, "strict"):
            logs[row, int(name.removeprefix("__label__"))] = np.log(max(chance, LEAST_CHANCE))
    return logs[:, 1] - logs[:, 0] if classes == 2 else logs


if __name__ == "__main__":
    main(sys.argv[1:])
