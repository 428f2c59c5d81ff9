"""Features of a store against its labels: correlations, and shares of a class by value."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from matplotlib.axes import Axes

from reports.drawing import INK, SERIES, Chart
from reports.html import Html, count, el, join, percent, score, short, table
from reports.parts import grid
from reports.predictions import interval
from reviews.errors import UserError
from reviews.features import MISSING, column_names
from reviews.store import Store

Array = np.ndarray
ROWS = 500_000  # training reviews that are looked at
LISTED = 20  # columns with a correlation, and with mutual information
LENGTH = "length in token ids"
_AS_IT_IS = {"mean": 0.0, "scale": 1.0, "kind": "number"}
BINS, VALUES, PERIODS = 6, 10, 36  # groups of a number, a category and a time


@dataclass(frozen=True)
class Sample:
    """Training reviews: features (n, F), labels (n,), ratings (n,), NaN where there is none, and
    the numbers of token ids that are kept (n,)."""

    features: Array
    labels: Array
    ratings: Array
    lengths: Array


@dataclass(frozen=True)
class Group:
    """Reviews whose feature has some values, with the share of the last class among them."""

    name: str
    n: int
    share: float
    rating: float | None  # mean

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share."""
        return interval(round(self.share * self.n), self.n)


def read_sample(store: Store, rows: int = ROWS) -> Sample:
    """The first training reviews; a shard holds them by their hashes, so they are as good as any.
    """
    columns: dict[str, list[Array]] = {"features": [], "label": [], "rating": [], "length": []}
    left = rows
    for shard in store.shards("train"):
        try:
            with h5py.File(shard.path, "r", locking=False) as file:
                for name, found in columns.items():
                    found.append(file[f"train/{name}"][:left])
        except (OSError, KeyError) as error:
            raise UserError(f"{shard.path} cannot be read: {error}; "
                            "reviewmill inspect --verify says more") from None
        left -= len(columns["label"][-1])
        if left <= 0:
            break
    return Sample(*(np.concatenate(found) for found in columns.values()))


def correlations(features: Array, target: Array) -> Array:
    """Pearson's correlation (F,) of each column with the target (n,); 0 for one that never
    changes."""
    wide = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    own = target - target.mean()
    spread = np.sqrt((wide * wide).sum(0) * (own @ own))
    return np.divide(own @ wide, spread, out=np.zeros(wide.shape[1]), where=spread > 0)


def fields_of(
    entries: Sequence[Mapping[str, Any]], features: Array
) -> Iterator[tuple[Mapping[str, Any], Array]]:
    """Entries of an encoding, each with its part (n, c) of the features (n, F), but for numbers
    that are not stored. A category has the values that are, and a missing column always."""
    first = 0
    for entry in entries:
        values = entry.get("values")
        last = 1 if values is None else len(values)  # the number of the missing column
        kept = entry.get("kept", [*range(last + 1)])
        columns = features[:, first : first + len(kept)]
        first += len(kept)
        if last not in kept:
            columns = np.pad(columns, [(0, 0), (0, 1)])
        if values is not None:
            yield {**entry, "values": [values[k] for k in kept if k < last]}, columns
        elif 0 in kept:
            yield entry, columns


def groups_of(
    entry: Mapping[str, Any], columns: Array, target: Array, ratings: Array
) -> list[Group]:
    """Groups of one field: quantiles of a number, months or years of a time, the first values of a
    category and the others; last those without one.

    Args:
        columns: (n, c) the field's part of the features, the last of which is 1 where it is
            missing.
    """
    absent = columns[:, -1] > 0
    if "values" in entry:
        named = _of_values(entry["values"], columns)
    else:
        numbers = columns[:, 0].astype(np.float64) * entry["scale"] + entry["mean"]
        if entry["kind"] == "time":
            named = _of_times(numbers, ~absent)
        else:
            # float32 of a standardized number does not give it back to the last digit.
            digits = 4 - math.floor(math.log10(entry["scale"]))
            named = _of_numbers(np.round(numbers, digits) + 0.0, ~absent)
    found = []
    for name, members in [*named, (MISSING, absent)]:
        if members.any():
            known = ratings[members][~np.isnan(ratings[members])]
            found.append(Group(name, int(members.sum()), float(target[members].mean()),
                               float(known.mean()) if len(known) else None))
    return found


def _of_values(values: Sequence[str], columns: Array) -> Iterator[tuple[str, Array]]:
    for number, value in enumerate(values[:VALUES]):
        yield value, columns[:, number] > 0
    yield "others", ~(columns[:, : min(VALUES, len(values))] > 0).any(1) & (columns[:, -1] == 0)


def _of_numbers(numbers: Array, present: Array) -> Iterator[tuple[str, Array]]:
    if not present.any():
        return
    some = numbers[present]
    edges, times = np.unique(_quantiles(some, BINS), return_counts=True)
    # A value of several quantiles is a group of its own, and the rest is shared out anew.
    common = edges[times > 1]
    rest = some[~np.isin(some, common)]
    after = [some[some > value].min() for value in common if (some > value).any()]
    parts = _quantiles(rest, max(1, BINS - len(common)))[:-1] if len(rest) else []
    edges = np.unique([*common, *after, *parts])
    for low, high in zip(edges, [*edges[1:], np.inf], strict=True):
        members = present & (numbers >= low) & (numbers < high)
        top = numbers[members].max()
        yield (short(low) if low == top else f"{short(low)} to {short(top)}"), members


def _quantiles(some: Array, bins: int) -> Array:
    """Edges of so many bins with about equally many of the values, each one of these."""
    found: Array = np.quantile(some, np.linspace(0, 1, bins + 1), method="lower")
    return found


def _of_times(numbers: Array, present: Array) -> Iterator[tuple[str, Array]]:
    seconds = np.floor(numbers).astype("datetime64[s]")
    periods = seconds.astype("datetime64[M]")
    if len(np.unique(periods[present])) > PERIODS:
        periods = seconds.astype("datetime64[Y]")
    for period in np.unique(periods[present]):
        yield str(period), present & (periods == period)


def exploration(store: Store) -> Html:
    """Cards of the section: correlations, and each field by its values."""
    sample, watched = read_sample(store), store.classes[-1]
    if not len(sample.labels):
        return Html("")
    target = (sample.labels == len(store.classes) - 1).astype(np.float64)
    by_field = {(entry["field"], entry["kind"]): groups_of(entry, columns, target, sample.ratings)
                for entry, columns in fields_of(store.feature_encoding, sample.features)}
    by_field[LENGTH, "number"] = groups_of(
        _AS_IT_IS, np.stack([sample.lengths, sample.lengths * 0], 1), target, sample.ratings)
    found = correlations(sample.features, target)
    order = np.argsort(-np.abs(found), kind="stable")[:LISTED]
    named = [(store.feature_names[column], float(found[column])) for column in order
             if found[column]]
    rows = [[f"{field}: {group.name}", count(group.n), percent(group.share),
             f"{percent(group.interval[0], 0)} to {percent(group.interval[1], 0)}",
             score(group.rating, 2)]
            for (field, _), groups in by_field.items() for group in groups]
    nats = information_of(store.feature_encoding)
    slots = max(len(groups) for (_, kind), groups in by_field.items() if kind != "time")
    numbers = dict(named)
    for name in sorted(nats, key=lambda name: -nats[name])[:LISTED]:
        numbers.setdefault(name, float(found[store.feature_names.index(name)]))
    says = f"Of {count(len(target))} training reviews."
    head = ["column", "correlation", *(["mutual information, nats"] if nats else [])]
    return join(
        el("div", _correlation_chart(named, watched).html(wide=True), cls="grid")
        if named else None,
        grid(*_charts(by_field, watched, slots)),
        el("div", el("figure", el("figcaption", el("h3", "Correlations, as numbers"),
                                  el("p", says)),
                     table(head,
                           [[name, f"{value:+.3f}",
                             *([f"{max(0.0, nats[name]):.4f}"] if nats else [])]
                            for name, value in numbers.items()]), cls="card"),
           el("figure", el("figcaption", el("h3", f"Share of {watched} by value"), el("p", says)),
              table(["", "reviews", "share", "95 % interval", "mean rating"], rows), cls="card"),
           cls="grid"))


def information_of(entries: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mutual information of the columns with the label, in nats, by their names; empty where they
    were not chosen by it."""
    return {column_names(entry)[column]: value for entry in entries
            for column, value in zip(entry.get("kept", []), entry.get("information", []),
                                     strict=True)}


def _correlation_chart(named: Sequence[tuple[str, float]], watched: str) -> Chart:
    def draw(axes: Axes) -> None:
        axes.barh(range(len(named)), [value for _, value in named], 0.7,
                  color=[SERIES[0] if value > 0 else SERIES[1] for _, value in named])
        axes.set_yticks(range(len(named)), [_cut(name) for name, _ in named], parse_math=False)
        axes.tick_params(axis="y", labelcolor=INK)
        axes.invert_yaxis()
        axes.grid(axis="x")

    return Chart("correlation", f"Correlation with {watched}", draw,
                 "Pearson's, of each column with 1 for the class and 0 for all else.",
                 height=70 + 22 * len(named))


def _charts(
    by_field: Mapping[tuple[str, str], Sequence[Group]], watched: str, slots: int
) -> Iterator[Chart]:
    """Share of the last class by group of each field, and over time also the mean rating."""
    for number, ((field, kind), groups) in enumerate(by_field.items()):
        if kind != "time":
            yield _bars(f"feature-{number}", f"Share of {watched} by {field}", groups, slots)
            continue
        shown = [group for group in groups if group.name != MISSING]
        yield _line(f"feature-{number}", f"Share of {watched} by {field}", shown,
                    [group.share for group in shown], "Lines: 95 % intervals.",
                    [group.interval for group in shown])
        if any(group.rating is not None for group in shown):
            yield _line(f"rating-{number}", f"Mean rating by {field}", shown, [
                math.nan if group.rating is None else group.rating for group in shown])


def _bars(name: str, title: str, groups: Sequence[Group], slots: int) -> Chart:
    """Shares, one below the other, in as many slots as the longest list of a field has."""
    def draw(axes: Axes) -> None:
        axes.barh(range(len(groups)), [group.share for group in groups], 0.7, color=SERIES[0])
        low, high = zip(*(group.interval for group in groups), strict=True)
        axes.hlines(range(len(groups)), low, high, color=INK, linewidth=1.2)
        axes.set_yticks(range(len(groups)), [_cut(group.name) for group in groups],
                        parse_math=False)
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(slots - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        axes.grid(axis="x")

    return Chart(name, title, draw, "Lines: 95 % intervals.", height=70 + 24 * slots)


def _line(
    name: str, title: str, groups: Sequence[Group], values: Sequence[float], says: str = "",
    bounds: Sequence[tuple[float, float]] = (),
) -> Chart:
    """Values over time; bounds, where there are some, are those of shares."""
    ticks = list(range(0, len(groups), max(1, len(groups) // 6)))

    def draw(axes: Axes) -> None:
        axes.plot(values, "o-", color=SERIES[0], markersize=4)
        if bounds:
            axes.vlines(range(len(bounds)), *zip(*bounds, strict=True), color=INK, linewidth=1.2)
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        axes.set_xticks(ticks, [groups[tick].name for tick in ticks])
        axes.grid(axis="y")

    return Chart(name, title, draw, says, height=230)


def _cut(name: str) -> str:
    """A name with room for it on an axis."""
    return name if len(name) <= 34 else f"{name[:16]}…{name[-17:]}"
