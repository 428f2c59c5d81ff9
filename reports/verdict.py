"""Verdict on a run, in one sentence and a few figures."""

import math
import shlex
from collections.abc import Sequence
from typing import Any

from reports.html import count, percent, score
from reports.run import Run
from reviews.metrics import NORMAL


def majority(matrix: Sequence[Sequence[int]]) -> tuple[int, float]:
    """Commonest true class of a confusion matrix, and the accuracy of always answering it."""
    rows = [sum(row) for row in matrix]
    best = max(range(len(rows)), key=rows.__getitem__)
    return best, rows[best] / max(1, sum(rows))


def validation_majority(run: Run) -> float | None:
    """Accuracy on the validation reviews of always answering their commonest class."""
    counts = run.manifest.get("splits", {}).get("validation", {}).get("labels", {}).values()
    return max(counts) / sum(counts) if sum(counts) else None


def margin(accuracy: float, n: int) -> float:
    """Half the width of the 95 % interval of a fraction measured on n reviews."""
    return NORMAL * math.sqrt(accuracy * (1 - accuracy) / n)


def evaluate_command(run: Run) -> str:
    """The command that measures the run on its test reviews."""
    store = shlex.quote(run.store) if run.store else "STORE"
    return f"reviewmill evaluate {shlex.quote(str(run.path))} --store {store} --split test"


def verdict(run: Run) -> tuple[str, str]:
    """The headline sentence in two parts: how good the model is, and how it was made."""
    made = _made(run)
    test = run.test
    if test:
        common, baseline = majority(test["confusion_matrix"])
        name = run.classes[common] if common < len(run.classes) else str(common)
        reviews = f"{count(test['n'])} test reviews"
        if test["accuracy"] > baseline:
            first = (f"{percent(test['accuracy'])} of {reviews} are judged right, where always "
                     f"answering “{name}” gets {percent(baseline)}")
        else:
            first = (f"Not better than always answering “{name}”, which gets {percent(baseline)}: "
                     f"{percent(test['accuracy'])} of {reviews} are judged right")
        return first, "; ".join([f"macro F1 is {score(test['f1_macro'])}", *made])
    checked = _checked(run)
    if checked:
        number, figures = checked
        return (
            f"Not evaluated on test reviews yet; after epoch {number + 1}, "
            f"{percent(figures['accuracy'])} of {count(figures.get('n'))} validation reviews "
            "are judged right",
            "; ".join([f"macro F1 is {score(figures.get('f1_macro'))}", *made]),
        )
    if run.curve.points:
        return (f"Not evaluated yet; {count(run.curve.last_step)} updates done, no epoch "
                "validated", "; ".join(made))
    return "Nothing is trained yet", "no update is recorded"


def _checked(run: Run) -> tuple[int, dict[str, Any]] | None:
    if run.kept_epoch is None:
        return None
    return run.kept_epoch, run.epochs[run.kept_epoch]["validation"]


def _made(run: Run) -> list[str]:
    if not run.reviews_per_s:
        return []
    ranks = run.ranks or 1
    on = "one rank" if ranks == 1 else f"{ranks} ranks"
    return [f"{on} trained {count(run.reviews_per_s)} reviews/s"]


def tiles(run: Run) -> list[tuple[str, str, str]]:
    """(name, figure, remark) of the headline's figures."""
    shown: list[tuple[str, str, str]] = []
    test, checked = run.test, _checked(run)
    if test:
        common, baseline = majority(test["confusion_matrix"])
        name = run.classes[common] if common < len(run.classes) else str(common)
        near = margin(test["accuracy"], test["n"])
        shown = [
            ("Test accuracy", percent(test["accuracy"]),
             f"± {100 * near:.1f} % on {count(test['n'])} reviews"),
            ("Baseline", percent(baseline), f"always “{name}”"),
            ("Macro F1", score(test["f1_macro"]), "mean over the classes"),
            ("ROC AUC", score(test.get("roc_auc")), "1 is perfect, 0.5 is chance"),
        ]
    elif checked:
        number, figures = checked
        shown = [
            ("Validation accuracy", percent(figures["accuracy"]), f"after epoch {number + 1}"),
            ("Baseline", percent(validation_majority(run)), "always the commonest class"),
            ("Macro F1", score(figures.get("f1_macro")), "validation"),
            ("ROC AUC", score(figures.get("roc_auc")), "validation"),
        ]
    total = run.curve.total
    if total:
        shown.append(("Reviews/s", count(run.reviews_per_s), f"{count(total.steps)} updates"))
    if run.ranks:
        hosts = len(set(run.summary.get("hosts") or []))
        shown.append(("Ranks", count(run.ranks), f"{hosts} host{'s' * (hosts != 1)}"
                      if hosts else "at the last update"))
    return shown
