"""Comparisons in the format that `reviewmill compare` writes."""

import json
from pathlib import Path
from typing import Any

from reports.comparison import FORMAT


def make_comparison(folder: Path, other: str = "bag", **changes: Any) -> Path:
    """A folder with the compare.json of two models, one of which is deterministic."""
    runs = [_run("tfidf-svm", 0, 0.915)] + [
        _run(other, seed, accuracy) for seed, accuracy in enumerate((0.921, 0.925, 0.926))]
    tested = {"p": 0.0123, "holm": 0.0246, "bonferroni": 0.0369}
    found = {
        "format": FORMAT, "store": "stores/amazon", "fingerprint": "ab" * 32, "sample": 0.5,
        "reference": "tfidf-svm", "folds": 0, "quoted": "seeds_and_reviews",
        "training_rows": 95_386, "test_rows": 22_437, "runs": runs,
        "models": [_summary("tfidf-svm", [0], 0.915, None),
                   _summary(other, [0, 1, 2], 0.924, 0.0026)],
        "differences": [{
            "model": other, "bootstrap_low": 0.0061, "bootstrap_high": 0.0119,
            "difference": {"mean": 0.009, "low": 0.0042, "high": 0.0138, "p": 0.0123, "worse": 0.0,
                           "equal": 0.011, "better": 0.989, "power": 0.83},
            "p": {"t": None, "mcnemar": tested, "bootstrap": tested,
                  "seeds_and_reviews": tested}}],
        "slices": [{"by": "length", "slice": "1 to 25 ids", "n": 4_321,
                    "accuracy": {"tfidf-svm": 0.8765, other: 0.8888},
                    "error": {"tfidf-svm": 0.005, other: 0.0048}}],
        "mistakes": {"model": other, "reviews": [
            {"text": "<b>Not</b> what I hoped for", "label": "positive", "said": "negative",
             "probability": 0.987}]},
        "failures": [], "wrong_labels": None, "learning_curve": [],
        **changes,
    }
    folder.mkdir(parents=True)
    (folder / "compare.json").write_text(json.dumps(found))
    return folder


CURVE = {
    "model": "bag", "forecast": {"rows": 8_000, "accuracy": 0.931, "low": 0.922, "high": 0.939},
    "points": [{"rows": rows, "accuracy": accuracy, "deviation": None, "error": 0.003}
               for rows, accuracy in ((1_000, 0.85), (2_000, 0.89), (4_000, 0.915))],
}
WRONG_LABELS = {
    "model": "bag", "n": 4_000, "wrong": 123,
    "pairs": [{"label": "negative", "said": "positive", "n": 100},
              {"label": "positive", "said": "negative", "n": 23}],
    "reviews": [{"text": "<i>The best</i> tea", "label": "negative", "said": "positive",
                 "probability": 0.998}],
}


def _run(model: str, seed: int, accuracy: float) -> dict[str, Any]:
    return {"model": model, "seed": seed, "n": 22_437, "accuracy": accuracy,
            "f1_macro": accuracy - 0.01, "roc_auc": 0.97, "confusion_matrix": [[1, 2], [3, 4]],
            "train_s": 27.4, "reviews_per_s": 51_234.0, "bytes": 130_000_000,
            "peak_bytes": 908_000_000}


def _summary(
    model: str, seeds: list[int], accuracy: float, deviation: float | None
) -> dict[str, Any]:
    return {"model": model, "seeds": seeds, "accuracy": accuracy,
            "accuracy_seed_deviation": deviation, "f1_macro": accuracy - 0.01,
            "f1_macro_seed_deviation": deviation, "roc_auc": None,
            "roc_auc_seed_deviation": None, "accuracy_test_error": 0.0018, "train_s": 27.4,
            "reviews_per_s": 51_234.0, "bytes": 130_000_000, "peak_bytes": 908_000_000}
