"""Baselines that learn from a store's tokens and features: scikit-learn's and XGBoost's.

A small grid of each is searched by 3-fold cross-validation on the training rows, by accuracy.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray
FOLDS = 3
C_GRID = (0.3, 1.0, 3.0, 10.0)  # inverse strength of the regularization
LEAF_GRID = (1, 4)  # least reviews of a leaf
DEPTH_GRID = (4, 8)
TREES = {"random-forest": 100, "xgboost": 300}
MOST_WORDS = 20_000  # columns of the trees
LEAST_CHANCE = 1e-9  # what a probability of 0 counts as in a logit

LEARNERS = ("tfidf-logistic", "tfidf-svm", "random-forest", "xgboost")


def log_odds(chances: Array) -> Array:
    """Logits of probabilities (n, C): (n,) for two classes, else (n, C)."""
    logs = np.log(np.maximum(chances, LEAST_CHANCE))
    odds: Array = logs[:, 1] - logs[:, 0] if logs.shape[1] == 2 else logs
    return odds


class Learner:
    """TF-IDF of a review's tokens, beside its features for trees, and a classifier on top.

    The vectorizer counts in all folds of the search; labels it does not see.
    """

    def __init__(self, name: str, seed: int) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._name, self._seed = name, seed
        pairs = {"ngram_range": (1, 2), "min_df": 2}
        words = {"max_features": MOST_WORDS, "min_df": 2}
        self._vectorizer = TfidfVectorizer(
            token_pattern=r"\S+", lowercase=False, sublinear_tf=True, dtype=np.float32,
            **(words if name in TREES else pairs))
        self._classifier: Any = None

    def fit(self, documents: Sequence[str], features: Array | None, labels: Array) -> "Learner":
        """Learn from tokens between blanks, features (n, F) or None, and labels (n,)."""
        from sklearn.model_selection import GridSearchCV

        self._vectorizer.fit(documents)
        classifier, grid = self._make()
        # Trees have threads of their own.
        jobs = 1 if self._name in TREES else _cores()
        search = GridSearchCV(classifier, grid, cv=FOLDS, n_jobs=jobs, scoring="accuracy")
        self._classifier = search.fit(self._matrix(documents, features), labels).best_estimator_
        return self

    def logits(self, documents: Sequence[str], features: Array | None) -> Array:
        """Logits of reviews: (n,) for two classes, else (n, C)."""
        matrix = self._matrix(documents, features)
        if self._name == "random-forest":
            return log_odds(self._classifier.predict_proba(matrix))
        if self._name == "xgboost":
            margins: Array = self._classifier.predict(matrix, output_margin=True)
            return margins
        found: Array = self._classifier.decision_function(matrix)
        return found

    def _matrix(self, documents: Sequence[str], features: Array | None) -> Any:
        from scipy import sparse

        words = self._vectorizer.transform(documents)
        if self._name not in TREES or features is None:
            return words
        return sparse.hstack([words, sparse.csr_matrix(features)], format="csr")

    def _make(self) -> tuple[Any, dict[str, Sequence[float]]]:
        """The classifier, and the grid of what is searched."""
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import LinearSVC

        if self._name == "tfidf-logistic":  # two solvers without random numbers
            return LogisticRegression(max_iter=1000), {"C": C_GRID}
        if self._name == "tfidf-svm":
            return LinearSVC(dual=False), {"C": C_GRID}
        options = {"n_estimators": TREES[self._name], "n_jobs": _cores(),
                   "random_state": self._seed}
        if self._name == "random-forest":
            return RandomForestClassifier(**options), {"min_samples_leaf": LEAF_GRID}
        from xgboost import XGBClassifier

        return XGBClassifier(tree_method="hist", learning_rate=0.2, **options), {
            "max_depth": DEPTH_GRID}


def _cores() -> int:
    return len(os.sched_getaffinity(0))
