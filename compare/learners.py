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
TREES = {"forest": 100, "xgboost": 300}
TREES_GRID = (30, 300)  # of ratings: many trees that know little are worse than the mean
MOST_WORDS = 20_000  # columns of the trees
MOST_FEATURES = 30  # the best by mutual information with the label
MEASURED_ROWS = 10_000  # that mutual information is measured on, for it takes long
LEAST_CHANCE = 1e-9  # what a probability of 0 counts as in a logit

# The classifier of each. Those of features alone read no token.
LEARNERS = {
    "tfidf-logistic": "logistic", "tfidf-svm": "svm", "random-forest": "forest",
    "xgboost": "xgboost", "features-logistic": "logistic", "features-svm": "svm",
    "features-forest": "forest", "features-xgboost": "xgboost"}
OF_FEATURES = tuple(name for name in LEARNERS if name.startswith("features-"))


def log_odds(chances: Array) -> Array:
    """Logits of probabilities (n, C): (n,) for two classes, else (n, C)."""
    logs = np.log(np.maximum(chances, LEAST_CHANCE))
    odds: Array = logs[:, 1] - logs[:, 0] if logs.shape[1] == 2 else logs
    return odds


class Learner:
    """TF-IDF of a review's tokens, beside its features for trees, or the best features alone, and a
    classifier on top.

    The vectorizer counts in all folds of the search; labels it does not see. Features are chosen by
    the labels of the folds that are trained on.
    """

    def __init__(self, name: str, seed: int, of_ratings: bool = False) -> None:
        """of_ratings: learn ratings in place of labels, and by their squared error; boosted trees
        alone do."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._kind, self._seed, self._of_ratings = LEARNERS[name], seed, of_ratings
        self._reads_tokens = name not in OF_FEATURES
        pairs = {"ngram_range": (1, 2), "min_df": 2}
        words = {"max_features": MOST_WORDS, "min_df": 2}
        self._vectorizer = TfidfVectorizer(
            token_pattern=r"\S+", lowercase=False, sublinear_tf=True, dtype=np.float32,
            **(words if self._kind in TREES else pairs))
        self._classifier: Any = None

    def fit(self, documents: Sequence[str], features: Array | None, targets: Array) -> "Learner":
        """Learn from tokens between blanks, features (n, F) or None, and labels or ratings (n,)."""
        from sklearn.model_selection import GridSearchCV
        from sklearn.pipeline import Pipeline

        if self._reads_tokens:
            self._vectorizer.fit(documents)
        classifier, grid = self._make()
        chosen = self._choice(features)
        steps = Pipeline([("features", chosen), ("classifier", classifier)])
        # Trees have threads of their own.
        jobs = 1 if self._kind in TREES else _cores()
        search = GridSearchCV(steps, {f"classifier__{name}": values
                                      for name, values in grid.items()},
                              cv=FOLDS, n_jobs=jobs, scoring="neg_root_mean_squared_error"
                              if self._of_ratings else "accuracy")
        self._classifier = search.fit(self._matrix(documents, features), targets).best_estimator_
        return self

    def logits(self, documents: Sequence[str], features: Array | None) -> Array:
        """Logits of reviews: (n,) for two classes, else (n, C)."""
        matrix = self._matrix(documents, features)
        if self._kind == "forest":
            return log_odds(self._classifier.predict_proba(matrix))
        if self._kind == "xgboost":
            margins: Array = self._classifier.predict(matrix, output_margin=True)
            return margins
        found: Array = self._classifier.decision_function(matrix)
        return found

    def ratings(self, documents: Sequence[str], features: Array | None) -> Array:
        """Predicted ratings (n,) of reviews."""
        found: Array = self._classifier.predict(self._matrix(documents, features))
        return found

    def _choice(self, features: Array | None) -> Any:
        """The step that chooses features; passes all on where they are few, or beside tokens."""
        from sklearn.feature_selection import SelectKBest

        if self._reads_tokens or features is None or features.shape[1] <= MOST_FEATURES:
            return "passthrough"
        return SelectKBest(mutual_information, k=MOST_FEATURES)

    def _matrix(self, documents: Sequence[str], features: Array | None) -> Any:
        from scipy import sparse

        if not self._reads_tokens:
            return features
        words = self._vectorizer.transform(documents)
        if self._kind not in TREES or features is None:
            return words
        return sparse.hstack([words, sparse.csr_matrix(features)], format="csr")

    def _make(self) -> tuple[Any, dict[str, Sequence[float]]]:
        """The classifier, and the grid of what is searched."""
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import LinearSVC

        if self._kind == "logistic":  # two solvers without random numbers
            return LogisticRegression(max_iter=1000), {"C": C_GRID}
        if self._kind == "svm":
            return LinearSVC(dual=False), {"C": C_GRID}
        options = {"n_estimators": TREES[self._kind], "n_jobs": _cores(),
                   "random_state": self._seed}
        if self._kind == "forest":
            return RandomForestClassifier(**options), {"min_samples_leaf": LEAF_GRID}
        from xgboost import XGBClassifier, XGBRegressor

        trees = XGBRegressor if self._of_ratings else XGBClassifier
        grid: dict[str, Sequence[float]] = {"max_depth": DEPTH_GRID}
        if self._of_ratings:
            grid["n_estimators"] = TREES_GRID
        return trees(tree_method="hist", learning_rate=0.2, **options), grid


def mutual_information(features: Array, targets: Array) -> Array:
    """Mutual information (F,) of each feature and the label or rating, in nats, of the first rows:
    a store's are in the order of hashes."""
    from sklearn.feature_selection import mutual_info_classif

    numbers = np.unique(targets[:MEASURED_ROWS], return_inverse=True)[1]
    found: Array = mutual_info_classif(features[:MEASURED_ROWS], numbers, random_state=0)
    return found


def _cores() -> int:
    return len(os.sched_getaffinity(0))
