"""The charts of a run. Each is None where the run has nothing to show in it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from reports.drawing import ACCENT, GRID, INK, MUTED, SERIES, SURFACE, Chart
from reports.html import count, duration, percent, short
from reports.limits import limits
from reports.run import Run

SPLITS = ("train", "validation", "test")
LENGTH_EDGES = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000]


def ratings(manifest: dict[str, Any]) -> Chart | None:
    """Number of stored reviews by rating."""
    total: dict[str, int] = {}
    for split in manifest["splits"].values():
        for rating, n in split.get("ratings", {}).items():
            total[rating] = total.get(rating, 0) + n
    unrated = total.pop("none", 0)
    rows = sum(total.values())
    if not rows:
        return None
    # Stars of the usual scale that nobody gave, or that the recipe drops, leave a visible gap.
    usual = [] if manifest.get("recipe", {}).get("rating_scale") else [1.0, 2.0, 3.0, 4.0, 5.0]
    known = sorted({*map(float, total), *usual})
    counts = [total.get(f"{rating:g}", 0) for rating in known]

    def draw(axes: Axes) -> None:
        bars = axes.bar(range(len(known)), counts, width=0.72, color=SERIES[0])
        labels = [percent(n / rows) if n else "–" for n in counts]
        axes.bar_label(bars, labels, padding=3, color=INK, fontsize=11)
        axes.set_xticks(range(len(known)), [f"{rating:g} ★" for rating in known])
        axes.tick_params(axis="x", length=0)
        axes.set_yticks([])
        axes.margins(y=0.14)

    says = f"{count(rows)} stored reviews have one"
    says += f", {count(unrated)} have none." if unrated else "."
    return Chart("ratings", "Ratings", draw, says)


def length_bins(manifest: dict[str, Any]) -> tuple[list[float], list[int]]:
    """Edges of bins of review lengths, in words, and the stored reviews in each."""
    bounds: dict[float, int] = {}
    for split in manifest["splits"].values():
        for bound, n in split.get("lengths", []):
            bounds[bound] = bounds.get(bound, 0) + n
    # Joined to bins that are about equally wide on a logarithmic axis.
    tops = [edge for edge in LENGTH_EDGES if edge in bounds]
    low = tops[0] / 2 if tops else 1.0
    edges = [low, *tops]
    if any(n and bound > edges[-1] for bound, n in bounds.items()):
        edges.append(edges[-1] * 2.5)
    counts = [0] * (len(edges) - 1)
    for bound, n in ((bound, n) for bound, n in bounds.items() if n):
        place = next((i for i, top in enumerate(edges[1:]) if bound <= top), len(counts) - 1)
        counts[place] += n
    return edges, counts


def lengths(manifest: dict[str, Any]) -> Chart | None:
    """Lengths of the stored reviews, before they are cut to the store's length."""
    edges, counts = length_bins(manifest)
    rows = sum(counts)
    if not rows:
        return None
    cut = manifest["length"]
    truncated = sum(split.get("truncated", 0) for split in manifest["splits"].values())
    words = sum(split.get("words", 0) for split in manifest["splits"].values())

    def draw(axes: Axes) -> None:
        left, right = np.array(edges[:-1]), np.array(edges[1:])
        axes.bar(
            left, np.array(counts) / rows, right - left, align="edge",
            color=SERIES[0], edgecolor=SURFACE, linewidth=1.5,
        )
        axes.set_xscale("log")
        ticks = edges[1:-1]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel("words in the review")
        _percent_axis(axes)
        if edges[0] < cut < edges[-1]:
            axes.axvline(cut, color=ACCENT, linewidth=1.5, linestyle=(0, (4, 3)))
            left_side = cut > math.sqrt(edges[0] * edges[-1])
            axes.annotate(
                f"cut at {short(cut)}", (cut, 1), (-6 if left_side else 6, -2),
                xycoords=("data", "axes fraction"), textcoords="offset points",
                ha="right" if left_side else "left", va="top", color=ACCENT, fontsize=11,
            )
            axes.margins(y=0.16)

    says = f"{count(words / rows)} words on average; {percent(truncated / rows)} are longer than "
    return Chart("lengths", "Review lengths", draw, says + f"the {count(cut)} the model reads.")


def labels(manifest: dict[str, Any]) -> Chart | None:
    """The part of every class in every split."""
    classes = [str(name) for name in manifest["classes"]]
    shown = [name for name in SPLITS if manifest["splits"].get(name, {}).get("rows")]
    if not shown:
        return None

    def draw(axes: Axes) -> None:
        start = np.zeros(len(shown))
        for index, name in enumerate(classes):
            part = np.array([
                manifest["splits"][split]["labels"].get(name, 0) / manifest["splits"][split]["rows"]
                for split in shown
            ])
            axes.barh(
                range(len(shown)), part, 0.62, left=start, color=_colour(index, len(classes)),
                edgecolor=SURFACE, linewidth=1.5,
            )
            for row, (x, width) in enumerate(zip(start, part, strict=True)):
                if width > 0.12:
                    axes.text(
                        x + width / 2, row, percent(width), ha="center", va="center",
                        color=SURFACE, fontsize=11, fontweight="bold",
                    )
            start = start + part
        axes.set_yticks(range(len(shown)), shown)
        axes.tick_params(axis="y", labelcolor=INK)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)

    keys = [(name, _colour(index, len(classes))) for index, name in enumerate(classes)]
    return Chart(
        "labels", "Labels in each split", draw, "The parts should be alike.", keys,
        60 + 48 * len(shown),
    )


def loss(run: Run) -> Chart | None:
    """Training loss of every update, smoothed, and validation after every epoch."""
    points = run.curve.points
    if not points:
        return None
    steps = np.array([point.last for point in points])
    raw = np.array([point.mean_loss for point in points])
    smooth = _smooth(raw, np.array([point.finite for point in points], float))
    checked = [
        (epoch["step"], epoch["validation"]["loss"], number)
        for number, epoch in sorted(run.epochs.items())
        if (epoch.get("validation") or {}).get("loss") is not None
    ]

    def draw(axes: Axes) -> None:
        axes.plot(steps, raw, color=SERIES[0], linewidth=0.9, alpha=0.35)
        axes.plot(steps, smooth, color=SERIES[0])
        if checked:
            x, y, numbers = zip(*checked, strict=True)
            axes.plot(
                x, y, "o", color=SERIES[1], markersize=7 if len(x) <= 30 else 4,
                markeredgecolor=SURFACE, markeredgewidth=1.5, clip_on=False, zorder=3,
            )
            if run.kept_epoch in numbers:
                at = numbers.index(run.kept_epoch)
                # At the top, where a falling curve leaves room, on a line through the point.
                axes.axvline(x[at], color=MUTED, linewidth=1, linestyle=(0, (2, 3)), zorder=1)
                late = x[at] > steps[-1] / 2
                axes.annotate(
                    f"kept: epoch {run.kept_epoch + 1}", (x[at], 1), (-6 if late else 6, -2),
                    xycoords=("data", "axes fraction"), textcoords="offset points", va="top",
                    ha="right" if late else "left", color=INK, fontsize=11,
                )
        # A few wild updates must not press the rest of the curve flat.
        visible = [smooth[np.isfinite(smooth)], np.array([y for _, y, _ in checked])]
        together = np.concatenate(visible)
        together = together[np.isfinite(together)]
        if len(together):
            spread = max(float(np.ptp(together)), 0.05 * float(together.max()), 1e-3)
            lowest = min(float(together.min()), float(np.nanpercentile(raw, 2)))
            axes.set_ylim(max(0.0, lowest - 0.08 * spread), together.max() + 0.15 * spread)
        _step_axis(axes, steps)
        axes.yaxis.set_major_locator(_ticks(5))
        for number, epoch in run.epochs.items():
            if len(run.epochs) <= 12 and number + 1 < int(run.config.get("epochs") or 0):
                axes.axvline(epoch["step"], color=GRID, linewidth=1, zorder=0)
        axes.grid(axis="y")

    keys = [("training, smoothed", SERIES[0])]
    if checked:
        keys.append(("validation", SERIES[1]))
    width = run.curve.width
    says = "Faint: " + ("every update." if width == 1 else f"means of {width} updates.")
    return Chart("loss", "Loss", draw, says, keys, 290)


def validation(run: Run, baseline: float | None) -> Chart | None:
    """Accuracy, macro F1 and ROC AUC on validation reviews, epoch by epoch."""
    names = {"accuracy": "accuracy", "f1_macro": "macro F1", "roc_auc": "ROC AUC"}
    checked = [(n + 1, e["validation"]) for n, e in sorted(run.epochs.items()) if e["validation"]]
    if not checked:
        return None
    epochs = [number for number, _ in checked]
    keys = []
    series = []
    for index, (name, title) in enumerate(names.items()):
        values = [np.nan if v.get(name) is None else v[name] for _, v in checked]
        if np.isfinite(values).any():
            series.append((values, SERIES[index]))
            keys.append((title, SERIES[index]))

    def draw(axes: Axes) -> None:
        for values, colour in series:
            axes.plot(
                epochs, values, "o-", color=colour, markersize=6, markeredgecolor=SURFACE,
                markeredgewidth=1.2, clip_on=False,
            )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
        axes.set_xlim(epochs[0] - 0.3, epochs[-1] + 0.3)
        axes.set_xlabel("epochs trained")
        axes.margins(y=0.12)
        bottom, top = axes.get_ylim()
        if baseline is not None and baseline > bottom - 1.5 * (top - bottom):
            axes.axhline(baseline, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
        bottom, top = axes.get_ylim()
        if top - bottom < 0.02:  # a flat line is not to look like a storm
            bottom, top = (bottom + top) / 2 - 0.01, (bottom + top) / 2 + 0.01
        axes.set_ylim(bottom, min(top, 1.0 + 0.02 * (top - bottom)))
        _percent_axis(axes, digits=0 if top - bottom > 0.045 else 1)

    if baseline is not None:
        keys.append((f"always the commonest class ({percent(baseline)})", MUTED))
    kept = run.kept_epoch
    says = f"The model is that after epoch {kept + 1}." if kept is not None else ""
    return Chart("validation", "Validation after each epoch", draw, says, keys)


def throughput(run: Run) -> Chart | None:
    """Reviews a second against the time spent in updates."""
    points = [point for point in run.curve.points if point.seconds > 0]
    if len(points) < 2:
        return None
    seconds = np.array([point.seconds for point in points])
    rate = np.array([point.reviews for point in points]) / seconds
    elapsed = np.cumsum(seconds)
    # Smoothing reviews and seconds apart keeps the mean rate what it was.
    smooth = _smooth(rate, seconds)

    def draw(axes: Axes) -> None:
        unit, name = next(u for u in ((3600, "hours"), (60, "minutes"), (1, "seconds"))
                          if elapsed[-1] >= 2 * u[0] or u[0] == 1)
        axes.plot(elapsed / unit, rate, color=SERIES[2], linewidth=0.9, alpha=0.35)
        axes.plot(elapsed / unit, smooth, color=SERIES[2])
        axes.set_ylim(0, max(float(np.percentile(rate, 98)), float(smooth.max())) * 1.15)
        axes.set_xlim(0, elapsed[-1] / unit)
        axes.set_xlabel(f"{name} in updates")
        axes.xaxis.set_major_locator(_ticks(6))
        axes.yaxis.set_major_locator(_ticks(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: short(y)))
        axes.grid(axis="y")

    mean = sum(point.reviews for point in points) / elapsed[-1]
    return Chart("throughput", "Reviews a second", draw,
                 f"{count(mean)} on average, over {duration(float(elapsed[-1]))} of updates.")


def learning_rate(run: Run) -> Chart | None:
    """The learning rate of every update."""
    points = run.curve.points
    if not points:
        return None
    steps = np.array([point.last for point in points])
    rates = np.array([point.learning_rate for point in points])

    def draw(axes: Axes) -> None:
        axes.plot(steps, rates, color=SERIES[3])
        axes.set_ylim(0, max(float(rates.max()), 1e-12) * 1.1)
        _step_axis(axes, steps)
        axes.yaxis.set_major_locator(_ticks(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.grid(axis="y")

    says = f"{rates[0]:.2g} at first, {rates.max():.2g} at most, {rates[-1]:.2g} at last."
    return Chart("rate", "Learning rate", draw, says)


def shares(run: Run) -> Chart | None:
    """Share of every update's padded tokens by rank; None with one rank."""
    points = run.curve.points
    ranks = max((len(point.tokens) for point in points), default=0)
    if ranks < 2:
        return None
    steps = np.array([point.last for point in points])
    work = np.array([point.tokens + [0.0] * (ranks - len(point.tokens)) for point in points]).T
    parts = work / np.maximum(work.sum(axis=0), 1e-12)  # (ranks, points)

    def draw(axes: Axes) -> None:
        at = steps if len(steps) > 1 else np.array([steps[0] - 1, steps[0]])
        shown = parts if len(steps) > 1 else np.repeat(parts, 2, axis=1)
        axes.stackplot(
            at, shown, colors=[SERIES[rank % len(SERIES)] for rank in range(ranks)],
            edgecolor=SURFACE, linewidth=1.2 if ranks <= 16 else 0.3,
        )
        top = 0.0
        for rank in range(ranks if ranks <= 8 else 0):
            middle = top + parts[rank].mean() / 2
            top += parts[rank].mean()
            if parts[rank].mean() > 0.09:
                axes.text(
                    (at[0] + at[-1]) / 2, middle, f"rank {rank}: {percent(parts[rank].mean())}",
                    ha="center", va="center", color=SURFACE, fontsize=11, fontweight="bold",
                )
        axes.set_ylim(0, 1)
        _step_axis(axes, at)
        _percent_axis(axes)
        axes.grid(False)

    says = f"Part of each update's padded tokens, {ranks} ranks from 0 (bottom) up."
    return Chart("shares", "Shares of the ranks", draw, says)


def waiting(run: Run) -> Chart | None:
    """Time of a mean update on each rank: own work, waiting, the rest."""
    total = run.curve.total
    if total is None or not total.compute:
        return None
    scale = 1000 / total.steps
    compute, wait = np.array(total.compute) * scale, np.array(total.wait) * scale
    rest = np.maximum(0.0, total.seconds * scale - compute - wait)
    ranks = len(compute)
    parts = [("own work", compute, SERIES[0]), ("waiting for others", wait, SERIES[4]),
             ("rest (input, logging)", rest, GRID)]

    def draw(axes: Axes) -> None:
        start = np.zeros(ranks)
        for _, values, colour in parts:
            axes.barh(range(ranks), values, 0.66 if ranks <= 16 else 1.0, left=start,
                      color=colour, edgecolor=SURFACE, linewidth=1.2 if ranks <= 16 else 0)
            for rank, (x, width) in enumerate(zip(start, values, strict=True)):
                if ranks <= 8 and colour != GRID and width > 0.13 * scale * total.seconds:
                    axes.text(x + width / 2, rank, f"{short(width)} ms", ha="center",
                              va="center", color=SURFACE, fontsize=11, fontweight="bold")
            start = start + values
        if ranks <= 12:
            axes.set_yticks(range(ranks), [f"rank {rank}" for rank in range(ranks)])
        else:
            axes.yaxis.set_major_locator(_ticks(8, integer=True))
            axes.set_ylabel("rank")
        axes.set_ylim(ranks - 0.5, -0.5)
        axes.set_xlabel("milliseconds of a mean update")
        axes.xaxis.set_major_locator(_ticks(6))
        axes.grid(axis="x")

    says = limits(compute, wait, total.seconds * scale) if ranks > 1 else ""
    return Chart("waiting", "Work and waiting", draw, says,
                 [(name, colour) for name, _, colour in parts],
                 max(120, min(300, 70 + 44 * ranks)))


def _colour(index: int, classes: int) -> str:
    """Two classes are told apart by warm and cold, more by the series."""
    return (SERIES[1], SERIES[0])[index] if classes == 2 else SERIES[index % len(SERIES)]


def _step_axis(axes: Axes, steps: np.ndarray) -> None:
    first = 0 if steps[0] <= max(1, 0.02 * steps[-1]) else steps[0]
    axes.set_xlim(first, max(steps[-1], first + 1))
    axes.set_xlabel("updates")
    axes.xaxis.set_major_locator(_ticks(6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))


def _percent_axis(axes: Axes, digits: int = 0) -> None:
    axes.yaxis.set_major_locator(_ticks(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.{digits}f} %"))
    axes.grid(axis="y")


def _ticks(most: int, integer: bool = False) -> MaxNLocator:
    """Ticks at numbers that one counts in: 1, 2, 2.5 or 5 of a power of ten apart."""
    return MaxNLocator(most, integer=integer, steps=[1, 2, 2.5, 5, 10])


def _smooth(values: np.ndarray, weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """Weighted mean of the neighbours under a Gaussian; no lag, NaN only where all are."""
    sigma = max(1.0, len(values) / 60)
    reach = int(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    good = np.isfinite(values)
    weight = np.where(good, np.asarray(weights, float), 0.0)
    pad = [np.pad(x, reach) for x in (np.where(good, values, 0.0) * weight, weight)]
    above, below = (np.convolve(x, kernel, mode="valid") for x in pad)
    smooth = np.full(len(values), np.nan)
    np.divide(above, below, out=smooth, where=below > 0)
    return smooth
