"""Parts of the page about the test and about probabilities: confusion matrix, figures per class,
reliability diagram, thresholds."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from reports.drawing import GRID, MUTED, SERIES, Chart
from reports.html import Html, count, el, join, moment, percent, score, table
from reports.parts import grid
from reports.run import Run
from reports.studies.precision_recall import of_run
from reports.verdict import evaluate_command

# States of the probabilities in a calibration's record.
_STATES = {"before": "as trained", "after": "with the temperature"}


def results(run: Run) -> list[Html | None]:
    """Test results, or what to do to get them; other evaluations follow in a table."""
    test = run.test
    shown: list[Html | None] = []
    if test:
        classes = run.classes or [str(i) for i in range(len(test["confusion_matrix"]))]
        shown.append(el("div", matrix(test, classes), per_class(test, classes), cls="grid"))
        shown += of_run(test)
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


def calibration(record: Mapping[str, Any]) -> Html:
    """The diagram of the test split, or else of the validation split, and its numbers."""
    splits = record["splits"]
    shown = "test" if "test" in splits else "validation"
    return grid(_diagram(shown, splits[shown]), _probabilities(record), _bins(shown, splits[shown]))


def _diagram(split: str, figures: Mapping[str, Any]) -> Chart:
    """Accuracy of the reviews of each bin against the mean probability of their labels."""
    lines = {state: [(one["confidence"], one["accuracy"]) for one in figures[state]["bins"]]
             for state in _STATES}
    low = min(min(point) for points in lines.values() for point in points)

    def draw(axes: Axes) -> None:
        axes.plot([low, 1], [low, 1], color=MUTED, linewidth=1, linestyle="--")
        for number, points in enumerate(lines.values()):
            axes.plot(*zip(*points, strict=True), "o-", color=SERIES[number], markersize=5)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g} %"))
        axes.set_xlabel("probability of the label")
        axes.set_ylabel("accuracy")
        axes.grid(color=GRID)

    return Chart("reliability", f"Reliability on {split} reviews", draw,
                 "On the dashed line, labels are as often right as their probability says.",
                 [(name, SERIES[number]) for number, name in enumerate(_STATES.values())], 300)


def _probabilities(record: Mapping[str, Any]) -> Html:
    """Calibration error and loss of each split, and the threshold that was asked for."""
    rows = [[f"{split}, {_STATES[state]}", count(figures["n"]), percent(figures[state]["ece"], 2),
             score(figures[state]["loss"], 4), percent(figures[state]["accuracy"], 2)]
            for split, figures in record["splits"].items() for state in _STATES]
    says = (f"Temperature {score(record['temperature'])}, fitted on validation reviews"
            f"{', ' + moment(record['time']) if record.get('time') else ''}. Error: mean distance "
            "of accuracy and probability.")
    threshold = None
    if one := record.get("threshold"):
        on = "test" if "test" in one else "validation"
        threshold = el(
            "p", f"A precision of {percent(one['wanted'])} of {one['class']}: ",
            el("code", f"score --threshold {one['threshold']:.6g}"),
            f"; on {on} reviews precision {percent(one[on]['precision'])}, recall "
            f"{percent(one[on]['recall'])}.")
    return el("figure", el("figcaption", el("h3", "Probabilities"), el("p", says), threshold),
              table(["", "reviews", "error", "loss", "accuracy"], rows), cls="card wide")


def _bins(split: str, figures: Mapping[str, Any]) -> Html:
    """Numbers of the diagram."""
    rows = [[f"{percent(one['low'], 0)} to {percent(one['high'], 0)}, {_STATES[state]}",
             count(one["n"]), percent(one["confidence"]), percent(one["accuracy"])]
            for state in _STATES for one in figures[state]["bins"]]
    return el("figure", el("figcaption", el("h3", f"Reliability on {split} reviews, as numbers")),
              table(["probability", "reviews", "mean", "accuracy"], rows), cls="card wide")
