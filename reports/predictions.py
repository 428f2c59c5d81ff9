"""The page about predictions: labels over time, by product and by file, with intervals."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from reports.drawing import INK, SERIES, Chart
from reports.html import Html, count, el, join, percent, short, table
from reports.parts import grid, header, page, section, settings
from reports.studies.summary_file import read_summary
from reviews.metrics import NORMAL

FORMAT = "reviewmill-summary/1"
MOST_POINTS = 60  # points of time on the chart
SHOWN = 20  # products of a list
_PERIODS = {"day": "%Y-%m-%d", "month": "%Y-%m", "year": "%Y"}
Summary = Mapping[str, Any]
Counts = dict[str, list[int]]


def read_predictions_summary(file: Path) -> Summary:
    """The counts that `score --summary` makes; UserError where the file holds none."""
    return read_summary(file, FORMAT)


def render_predictions(summary: Summary) -> str:
    """The whole page. The same counts give the same bytes."""
    labels = summary["labels"]
    watched = watched_label(labels)
    parts: list[tuple[str, Html | None]] = [
        ("Time", _over_time(summary["days"], labels, watched)),
        ("Products", _products(summary, watched)),
        ("Files", _files(summary["files"], labels, watched))]
    shown = [(name, part) for name, part in parts if part is not None]
    about = {"model": summary["model"], "inputs": summary["inputs"],
             "records": summary["records"], "bad records": summary["bad"]}
    return page(
        "Predictions · reviewmill", "the predictions",
        _header(summary, watched, [*(name for name, _ in shown), "Configuration"]),
        *(section(name.lower(), name, part) for name, part in shown),
        section("configuration", "Configuration",
                settings("How they were made", "reviewmill score", about)))


def watched_label(labels: Sequence[str]) -> str:
    """The label whose share is shown: the last class."""
    return [name for name in labels if name != "unsure"][-1]


def interval(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    share, square = hits / n, NORMAL * NORMAL
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = NORMAL * sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def periods(days: Counts) -> tuple[str, Counts]:
    """Counts by day, month or year: the finest that gives MOST_POINTS at most, and its name."""
    for name, form in _PERIODS.items():
        found: Counts = {}
        for day, numbers in days.items():
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=int(day))
            key = moment.strftime(form)
            found[key] = [a + b for a, b in zip(
                found.get(key, [0] * len(numbers)), numbers, strict=True)]
        if len(found) <= MOST_POINTS or name == "year":
            break
    return name, dict(sorted(found.items()))


def _header(summary: Summary, watched: str, sections: Sequence[str]) -> Html:
    number = summary["labels"].index(watched)
    hits, n = _total(summary["files"], number), summary["scored"]
    low, high = interval(hits, n)
    facts = [f"{count(n)} reviews", f"{count(sum(summary['bad'].values()))} bad records",
             f"{count(len(summary['products']))} products" if summary["products"] else None]
    tiles = [(name, percent(_total(summary["files"], place) / n),
              f"{count(_total(summary['files'], place))} reviews")
             for place, name in enumerate(summary["labels"])]
    return header(("predictions", summary["model"], None),
                  (f"{percent(hits / n)} of {count(n)} reviews are {watched}",
                   f"95 % interval {percent(low)} to {percent(high)}"), facts, tiles, sections)


def _total(counts: Counts, number: int) -> int:
    return sum(numbers[number] for numbers in counts.values())


def _over_time(days: Counts, labels: Sequence[str], watched: str) -> Html | None:
    if not days:
        return None
    name, counts = periods(days)
    number = list(labels).index(watched)
    sizes = np.array([sum(numbers) for numbers in counts.values()])
    hits = np.array([numbers[number] for numbers in counts.values()])
    bounds = np.array([interval(*pair) for pair in zip(hits.tolist(), sizes.tolist(),
                                                       strict=True)])
    ticks = list(range(0, len(counts), max(1, len(counts) // 6)))
    shown = [list(counts)[tick] for tick in ticks]

    def draw(axes: Axes) -> None:
        axes.fill_between(range(len(hits)), *bounds.T, color=SERIES[0], alpha=0.25, linewidth=0)
        axes.plot(hits / sizes, color=SERIES[0], marker="o", markersize=4)
        axes.set_xticks(ticks, shown)
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        axes.grid(axis="y")

    def draw_sizes(axes: Axes) -> None:
        axes.bar(range(len(sizes)), sizes, color=SERIES[0])
        axes.set_xticks(ticks, shown)
        axes.yaxis.set_major_formatter(lambda value, _: short(value))
        axes.grid(axis="y")

    return join(
        grid(Chart("time", f"Share of {watched} reviews by {name}", draw, "Band: 95 % interval."),
             Chart("sizes", f"Reviews by {name}", draw_sizes)),
        _table(f"Labels by {name}", name, counts.items(), labels, number))


def _products(summary: Summary, watched: str) -> Html | None:
    counts, labels = summary["products"], summary["labels"]
    if not counts:
        return None
    number = labels.index(watched)
    largest = sorted(counts, key=lambda name: (-sum(counts[name]), name))[:SHOWN]
    # Those that are surely low come first, not those with one bad review.
    lowest = sorted(counts, key=lambda name: (
        interval(counts[name][number], sum(counts[name]))[1], name))[:SHOWN]
    dropped = summary["dropped_products"]
    note = (f" Of {count(dropped)} more products with few reviews nothing is kept."
            if dropped else "")
    chosen = {name: counts[name] for name in dict.fromkeys([*largest, *lowest])}
    charts = grid(
        _shares("most", f"The {len(largest)} products with the most reviews",
                f"Line: 95 % interval.{note}", {name: counts[name] for name in largest}, number),
        _shares("low", f"Products with the lowest share of {watched} reviews",
                "In the order of the upper end of the interval.",
                {name: counts[name] for name in lowest}, number))
    return join(charts, _table("Labels by product", "product", chosen.items(), labels, number))


def _shares(name: str, title: str, says: str, counts: Counts, number: int) -> Chart:
    """Share and interval of each, one below the other."""
    shares = [numbers[number] / sum(numbers) for numbers in counts.values()]
    bounds = [interval(numbers[number], sum(numbers)) for numbers in counts.values()]
    names = [f"{key[:24]} ({count(sum(numbers))})" for key, numbers in counts.items()]

    def draw(axes: Axes) -> None:
        for row, (low, high) in enumerate(bounds):
            axes.plot([low, high], [row, row], color=SERIES[0], linewidth=2)
        axes.plot(shares, range(len(shares)), "o", color=SERIES[0], markersize=6)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(axis="y", labelcolor=INK)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        axes.grid(axis="x")

    return Chart(name, title, draw, says, height=60 + 24 * len(counts))


def _files(counts: Counts, labels: Sequence[str], watched: str) -> Html | None:
    if len(counts) < 2:
        return None
    return _table("Labels by file", "file", [(Path(path).name, n) for path, n in counts.items()],
                  labels, list(labels).index(watched))


def _table(
    title: str, unit: str, counts: Iterable[tuple[str, list[int]]], labels: Sequence[str],
    number: int,
) -> Html:
    """Counts of each label, and the share of one of them with its interval."""
    rows = []
    for name, numbers in counts:
        low, high = interval(numbers[number], sum(numbers))
        rows.append([name, count(sum(numbers)), *map(count, numbers),
                     percent(numbers[number] / sum(numbers)),
                     f"{percent(low)} to {percent(high)}"])
    head = [unit, "reviews", *labels, f"share {labels[number]}", "95 % interval"]
    return el("figure", el("figcaption", el("h3", title)), table(head, rows), cls="card wide")
