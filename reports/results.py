"""The part of the page about the test: confusion matrix and figures per class."""

from collections.abc import Mapping
from typing import Any

from reports.html import Html, count, el, join, moment, percent, score, table
from reports.run import Run
from reports.verdict import evaluate_command


def results(run: Run) -> list[Html | None]:
    """Test results, or what to do to get them; other evaluations follow in a table."""
    test = run.test
    shown: list[Html | None] = []
    if test:
        classes = run.classes or [str(i) for i in range(len(test["confusion_matrix"]))]
        shown.append(el("div", matrix(test, classes), per_class(test, classes), cls="grid"))
    else:
        shown.append(el(
            "p", "This run is not evaluated on test reviews yet. To do it: ",
            el("code", evaluate_command(run)), cls="empty",
        ))
    others = [record for record in run.evaluations if record is not test]
    if others:
        shown.append(other_evaluations(others[-20:]))
    return shown


def matrix(test: Mapping[str, Any], classes: list[str]) -> Html:
    """The confusion matrix, shaded by the part of each true class."""
    rows = []
    for index, counts in enumerate(test["confusion_matrix"]):
        whole = max(1, sum(counts))
        cells = [
            el("td", el("b", count(n)), " ", el("small", percent(n / whole)),
               cls="right" if column == index else "wrong",
               style=f"--part: {100 * n / whole:.0f}%")
            for column, n in enumerate(counts)
        ]
        rows.append(el("tr", el("th", classes[index], scope="row"), *cells))
    head = el("tr", el("td", "is ↓   judged →"), *(el("th", name, scope="col") for name in classes))
    right = sum(row[i] for i, row in enumerate(test["confusion_matrix"]))
    says = f"{count(right)} of {count(test['n'])} right. Per cent are of the row."
    return el(
        "figure",
        el("figcaption", el("h3", "Confusion matrix"), el("p", says)),
        el("div", el("table", el("thead", head), el("tbody", *rows), cls="matrix"), cls="scroll"),
        cls="card",
    )


def per_class(test: Mapping[str, Any], classes: list[str]) -> Html:
    """Precision, recall and F1 of every class, with bars."""
    rows = [
        [name, *(bar(test[figure].get(name)) for figure in ("precision", "recall", "f1")),
         count(sum(counts))]
        for name, counts in zip(classes, test["confusion_matrix"], strict=True)
    ]
    mean = [
        sum(test[figure].values()) / max(1, len(test[figure]))
        for figure in ("precision", "recall")
    ]
    rows.append(["mean", bar(mean[0]), bar(mean[1]), bar(test["f1_macro"]), count(test["n"])])
    says = [f"ROC AUC {score(test.get('roc_auc'), 4)}", f"loss {score(test.get('loss'), 4)}"]
    if test.get("time"):
        says.append(f"measured {moment(test['time'])}")
    return el(
        "figure",
        el("figcaption", el("h3", "Classes"), el("p", " · ".join(says))),
        table(["", "precision", "recall", "F1", "reviews"], rows, cls="sum"),
        cls="card",
    )


def bar(value: float | None) -> Html:
    """A score with a bar of its size below."""
    width = 100 * min(1.0, max(0.0, value or 0.0))
    return join(score(value), el("i", cls="bar", style=f"--part: {width:.1f}%"))


def other_evaluations(records: list[dict[str, Any]]) -> Html:
    """Evaluations before the latest one, on other splits or on other files."""
    rows = [
        [str(record.get("split") or record.get("input") or "–"), count(record.get("n")),
         percent(record.get("accuracy"), 2), score(record.get("f1_macro")),
         score(record.get("roc_auc")), moment(record.get("time"))]
        for record in records
    ]
    head = ["reviews of", "reviews", "accuracy", "macro F1", "ROC AUC", "measured"]
    return el("figure", el("figcaption", el("h3", "Other evaluations")), table(head, rows),
              cls="card wide")
