"""Gradient noise scale of a run over its updates, with its standard errors."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from reports.drawing import SERIES, Chart
from reports.html import Html, count, el, join, short, table
from reports.run import Run
from reviews.metrics import NORMAL
from reviews.run_folder import noise_line
from reviews.runtime.noise_sums import NoiseSums

PARTS = 24  # of a run: each has a point of the chart and a row of the table
LEAST = 8  # measured updates of a part, where the run has as many


@dataclass(frozen=True)
class Part:
    """Consecutive updates, from the number `first` to `last`, and their noise scale in reviews
    with its standard error: None where the gradient does not rise above its noise."""

    first: int
    last: int
    measured: int
    scale: float | None
    error: float | None
    batch_size: int | None


def parts_of(run: Run) -> list[Part]:
    """Parts of the run with about equally many measured updates each."""
    points = [point for point in run.curve.points if point.noise.updates]
    measured = sum(point.noise.updates for point in points)
    size = max(LEAST, measured / PARTS)
    found, sums, first = [], NoiseSums(), None
    done = 0
    for number, point in enumerate(points):
        first = point.first if first is None else first
        sums.merge(point.noise)
        done += point.noise.updates
        rest = measured - done
        if number + 1 == len(points) or (sums.updates >= size and rest >= size / 2):
            figures = sums.figures() or {}
            found.append(Part(first, point.last, sums.updates, figures["scale"],
                              figures["error"], figures["batch_size"]))
            sums, first = NoiseSums(), None
    return found


def noise_scale(run: Run) -> Html | None:
    """Chart, table, and the figure of the latest epoch in words; None where it was not measured."""
    epochs = [number for number in sorted(run.epochs) if run.epochs[number].get("noise_scale")]
    parts = parts_of(run)
    if not epochs and not parts:
        return None
    line = (f"Epoch {epochs[-1] + 1}: {noise_line(run.epochs[epochs[-1]]['noise_scale'])}."
            if epochs else "")
    chart = _chart(parts).html(wide=True) if any(part.scale for part in parts) else None
    return join(el("div", chart, cls="grid") if chart else None, _table(parts, line))


def _chart(parts: list[Part]) -> Chart:
    """The noise scale over updates on a logarithmic axis, with the band of its 95 % intervals."""
    at = np.array([(part.first + part.last) / 2 for part in parts])
    scale = np.array([part.scale or np.nan for part in parts], float)
    half = NORMAL * np.array([part.error for part in parts], float)
    # A band that reaches 0 has no lower end on a logarithmic axis: it ends a decade below.
    low, high = np.maximum(scale - half, scale / 10), scale + half

    def draw(axes: Axes) -> None:
        axes.fill_between(at, low, high, color=SERIES[0], alpha=0.2, linewidth=0)
        # A part between unknown ones has no width to fill.
        axes.vlines(at, low, high, color=SERIES[0], alpha=0.4, linewidth=1)
        axes.plot(at, scale, "o-", color=SERIES[0], markersize=4)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.set_xlim(0, parts[-1].last + 1)
        axes.set_xlabel("updates")
        axes.set_ylabel("reviews")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: short(y)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(axis="y")

    return Chart("noise", "Gradient noise scale", draw,
                 "Batches of up to about so many reviews need fewer updates almost in proportion; "
                 "larger ones save little. Band: 95 % intervals; none where the gradient does not "
                 "rise above its noise.", height=250)


def _table(parts: list[Part], line: str) -> Html:
    rows = [[f"{count(part.first)} to {count(part.last)}", count(part.measured),
             _reviews(part.scale), _reviews(part.error), _reviews(part.batch_size)]
            for part in parts]
    says = (f"{line} A dash: the gradient does not rise above its noise. Batch: the power of two "
            "next to the noise scale.")
    return el("figure", el("figcaption", el("h3", "Gradient noise scale, as numbers"),
                           el("p", says)),
              table(["updates", "measured", "noise scale, reviews", "± standard error", "batch"],
                    rows), cls="card wide")


def _reviews(value: float | None) -> str:
    return "–" if value is None else count(value)
