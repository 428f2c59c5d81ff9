"""Precision against recall, and the threshold for a wanted precision: of a run, of a comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.drawing import GRID, SERIES, Chart
from reports.html import Html, el, percent, score, table
from reports.parts import section

Curve = Sequence[Sequence[float]]  # recall, precision and threshold of each point
Figures = Mapping[str, Any]
LISTED = 10  # points of a curve as numbers, or a few more
CLASS_COLOURS = (SERIES[1], SERIES[0])  # as in the drawings of the corpus


def of_run(test: Figures) -> list[Html | None]:
    """Curves of both classes on the test reviews, and their thresholds; nothing of an evaluation
    without them."""
    found: Mapping[str, Figures] = test.get("precision_recall") or {}
    if not found:
        return []
    rows = [[f"{name}, {percent(one['wanted'], 0)}", f"{one['threshold']:.4f}",
             percent(one["precision"], 2), percent(one["recall"], 2)]
            for name, figures in found.items() for one in figures["wanted"]]
    says = ("The threshold of score --threshold with the highest recall. It is found on these very "
            "reviews: for use, find it on validation reviews, by calibrate --precision-of.")
    return [
        el("div", _chart({name: figures["curve"] for name, figures in found.items()},
                         "Precision and recall", CLASS_COLOURS).html(wide=True), cls="grid"),
        el("figure", el("figcaption", el("h3", "Thresholds for a wanted precision"),
                        el("p", says)),
           table(["class, wanted", "threshold", "precision", "recall"], rows), cls="card wide"),
        el("figure", el("figcaption", el("h3", "Precision and recall, as numbers"),
                        el("p", _averages(found))),
           table(["class", "recall", "precision", "threshold"],
                 [[name, *point] for name, figures in found.items()
                  for point in _points(figures["curve"])]), cls="card wide")]


def of_comparison(comparison: Mapping[str, Any]) -> Html:
    """The section, empty where classes are more than two."""
    found: Sequence[Figures] = comparison.get("precision_recall") or []
    if not found:
        return Html("")
    wanted = sorted({one["wanted"] for figures in found for one in figures["wanted"]})
    name = found[0]["class"]
    rows = [[figures["model"], score(figures["average_precision"], 4),
             *(_reached(figures, precision) for precision in wanted)] for figures in found]
    says = (f"Recall of {name} at the threshold with the highest recall at which at least this "
            "part of what is called so is so, and the threshold, a probability of the other "
            "class; on the test reviews of the first run, or of all folds. Average precision: "
            "mean of the precision over the recall.")
    curves = {figures["model"]: figures["curve"] for figures in found[: len(SERIES)]}
    return section(
        "precision", "Precision and recall",
        el("div", _chart(curves, f"Precision and recall of {name}").html(wide=True), cls="grid"),
        el("figure", el("figcaption", el("h3", f"Recall of {name} by wanted precision"),
                        el("p", says)),
           table(["model", "average precision", *(percent(one, 0) for one in wanted)], rows),
           cls="card wide"),
        el("figure", el("figcaption", el("h3", "Precision and recall, as numbers")),
           table(["model", "recall", "precision", "threshold"],
                 [[model, *point] for model, curve in curves.items() for point in _points(curve)]),
           cls="card wide"))


def _averages(found: Mapping[str, Figures]) -> str:
    return "Average precision: " + ", ".join(
        f"{name} {score(figures['average_precision'], 4)}" for name, figures in found.items()) + "."


def _reached(figures: Figures, precision: float) -> str:
    """Recall and threshold at a precision; a dash where it is not reached."""
    for one in figures["wanted"]:
        if one["wanted"] == precision:
            return f"{percent(one['recall'])} ({one['threshold']:.3f})"
    return "–"


def _points(curve: Curve) -> list[list[str]]:
    """Points of a curve, about equally far apart in recall."""
    step = max(1, len(curve) // LISTED)
    return [[percent(recall), percent(precision, 2), f"{threshold:.4f}"]
            for recall, precision, threshold in curve[::-1][::step][::-1]]


def _chart(
    curves: Mapping[str, Curve], title: str, colours: Sequence[str] = SERIES
) -> Chart:
    def draw(axes: Axes) -> None:
        for curve, colour in zip(curves.values(), colours, strict=False):
            axes.plot([point[0] for point in curve], [point[1] for point in curve], color=colour)
        axes.set_xlim(0, 1)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5))
            axis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g} %"))
        axes.grid(color=GRID)

    return Chart("precision-recall", title, draw, "One point for each threshold.",
                 list(zip(curves, colours, strict=False)), 300)
