"""Learning curves on the page about a comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from reports.drawing import GRID, SERIES, Chart
from reports.html import Html, count, el, percent, short, table
from reports.parts import section
from reviews.metrics import NORMAL

Curve = Mapping[str, Any]


def learning_curve(comparison: Mapping[str, Any]) -> Html:
    """The section, empty where no learning curve was asked for."""
    curves: Sequence[Curve] = comparison.get("learning_curve") or []
    if not curves:
        return Html("")
    rows = [[curve["model"],
             *(_accuracy(curve, n) for n in _numbers(curves)), _forecast(curve)]
            for curve in curves]
    head = ["model", *(f"{count(n)} reviews" for n in _numbers(curves)), "forecast for twice"]
    says = ("Accuracy on the test reviews, means over seeds. The forecast is that of "
            "error = a + b rows^-c (a, b, c of 0 or more) through these points, with 95 % of its "
            "fits to accuracies drawn anew with their standard errors.")
    return section(
        "learning", "Learning curve", el("div", _drawing(curves).html(wide=True), cls="grid"),
        el("figure", el("figcaption", el("h3", "Accuracy by number of training reviews"),
                        el("p", says)),
           table(head, rows), cls="card wide"))


def _drawing(curves: Sequence[Curve]) -> Chart:
    """Accuracies over rows, on a logarithmic axis, and the forecasts behind them."""
    shown = curves[: len(SERIES)]

    def draw(axes: Axes) -> None:
        axes.set_xscale("log")
        for curve, colour in zip(shown, SERIES, strict=False):
            rows = [point["rows"] for point in curve["points"]]
            accuracy = [point["accuracy"] for point in curve["points"]]
            axes.errorbar(rows, accuracy, [NORMAL * point["error"] for point in curve["points"]],
                          color=colour, marker="o", markersize=5, capsize=3, linewidth=2)
            found = curve["forecast"]
            if found:
                axes.plot([rows[-1], found["rows"]], [accuracy[-1], found["accuracy"]], ":",
                          color=colour)
                axes.plot([found["rows"]] * 2, [found["low"], found["high"]], color=colour,
                          linewidth=5, alpha=0.5)
        numbers = _numbers(curves)
        axes.xaxis.set_major_locator(FixedLocator([*numbers, 2 * numbers[-1]]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
        axes.set_xlabel("training reviews")
        axes.grid(axis="y", color=GRID)

    return Chart("learning-curve", "Learning curve", draw,
                 "Bars: 95 % intervals over the draw of the test reviews and the seeds; dotted: "
                 "the forecast, with its interval.",
                 [(curve["model"], colour) for curve, colour in zip(shown, SERIES, strict=False)],
                 280)


def _numbers(curves: Sequence[Curve]) -> list[int]:
    """All numbers of rows that a curve has, ascending."""
    return sorted({point["rows"] for curve in curves for point in curve["points"]})


def _accuracy(curve: Curve, rows: int) -> str:
    found = [point["accuracy"] for point in curve["points"] if point["rows"] == rows]
    return percent(found[0], 2) if found else "–"


def _forecast(curve: Curve) -> str:
    found = curve["forecast"]
    if not found:
        return "–"
    return (f"{percent(found['accuracy'], 2)} ({100 * found['low']:.2f} to "
            f"{100 * found['high']:.2f})")
