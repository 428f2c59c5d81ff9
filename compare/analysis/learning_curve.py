"""Learning curve: accuracy on nested samples of the training rows, and a forecast of more data.

The error falls as a power of the number of rows towards a floor, error(n) = a + b n^-c (Cortes et
al. 1994, Hestness et al. 2017), with a, b, c of 0 or more. The interval of the forecast is that of
fits to accuracies that are drawn anew with their standard errors. A forecast for more than twice
the data would ask more of five points than they know.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np

from compare.rows import column, draw_sample
from compare.runs import Failure, Protocol, run_all
from compare.statistics import LEVEL, binomial_error, seed_deviation

Array = np.ndarray
FRACTIONS = (1 / 16, 1 / 8, 1 / 4, 1 / 2)  # of the comparison's own rows
POWERS = np.geomspace(0.05, 2.0, 60)  # c
DRAWS = 400
LEAST_POINTS = 4  # for a fit of three numbers


@dataclass(frozen=True)
class Point:
    """Accuracy for a number of training rows.

    deviation: over seeds, None for one run.
    error: standard error of the mean, from the draw of the test reviews and from the seeds.
    """

    rows: int
    accuracy: float
    deviation: float | None
    error: float


def fit(rows: Array, errors: Array, weights: Array) -> Array:
    """Parameters a, b, c (..., 3) of the curves through errors (..., P) at rows (P,).

    Weighted least squares: for each power of the grid, a and b of 0 or more follow; the power of
    the smallest remainder counts.
    """
    best = np.full((*errors.shape[:-1], 3), 0.0)
    least = np.full(errors.shape[:-1], np.inf)
    total = weights.sum()
    for power in POWERS:
        x = rows ** -power
        mean_x = (weights * x).sum() / total
        mean_y = (weights * errors).sum(-1) / total
        spread = (weights * (x - mean_x) ** 2).sum()
        b = np.maximum(0.0, (weights * (x - mean_x) * errors).sum(-1) / spread)
        a = mean_y - b * mean_x
        below = a < 0  # the floor is 0: the line through the origin
        b = np.where(below, (weights * x * errors).sum(-1) / (weights * x * x).sum(), b)
        a = np.where(below, 0.0, a)
        rest = (weights * (errors - a[..., None] - b[..., None] * x) ** 2).sum(-1)
        better = rest < least
        least = np.where(better, rest, least)
        best[better] = np.stack([a, b, np.full_like(a, power)], -1)[better]
    return best


def forecast(points: Sequence[Point], rows: int, seed: int = 0) -> dict[str, float] | None:
    """`rows`, `accuracy`, `low` and `high` (95 %) for a number of rows; None for too few points."""
    if len({point.rows for point in points}) < LEAST_POINTS:
        return None
    at = np.array([point.rows for point in points], float)
    errors = 1 - np.array([point.accuracy for point in points])
    deviations = np.array([max(point.error, 1e-6) for point in points])
    drawn = errors + np.random.default_rng(seed).normal(size=(DRAWS, len(at))) * deviations
    found = fit(at, np.concatenate([errors[None], drawn.clip(0, 1)]), deviations ** -2)
    accuracy = 1 - (found[:, 0] + found[:, 1] * float(rows) ** -found[:, 2])
    low, high = np.quantile(accuracy[1:], [LEVEL / 2, 1 - LEVEL / 2])
    return {"rows": rows, "accuracy": float(accuracy[0]), "low": float(low), "high": float(high)}


def point_of(rows: int, runs: Sequence[Mapping[str, Any]]) -> Point:
    """The point of a system's runs on so many rows."""
    accuracies = [run["accuracy"] for run in runs]
    mean, deviation = fmean(accuracies), seed_deviation(accuracies)
    of_seeds = 0.0 if deviation is None else deviation / math.sqrt(len(runs))
    return Point(rows, mean, deviation, math.hypot(binomial_error(mean, runs[0]["n"]), of_seeds))


def samples(protocol: Protocol) -> Iterator[Protocol]:
    """The protocol on smaller samples, each part of the next, with folders of their own."""
    ids = column(protocol.store, "train", "review_id")[protocol.positions]
    for fraction in FRACTIONS:
        inside = draw_sample(ids, fraction)
        yield replace(protocol, positions=protocol.positions[inside],
                      out=protocol.out / "curve" / f"{len(inside)}")


def run_sample(
    protocol: Protocol, models: Sequence[str], seeds: int
) -> Iterator[dict[str, Any] | Failure]:
    """Results of the runs on a smaller sample; finished ones are kept."""
    protocol.out.mkdir(parents=True, exist_ok=True)
    yield from run_all(protocol, models, seeds)


def curves(
    smaller: Mapping[str, Mapping[int, Sequence[Mapping[str, Any]]]],
    whole: Mapping[str, Sequence[Mapping[str, Any]]], rows: int,
) -> list[dict[str, Any]]:
    """Points and forecast of each system.

    Args:
        smaller: runs by system and number of rows.
        whole: runs of the comparison, on `rows` rows.
    """
    found = []
    for model, runs in whole.items():
        points = [point_of(n, own) for n, own in sorted(smaller.get(model, {}).items())]
        points.append(point_of(rows, runs))
        found.append({"model": model, "points": [vars(point) for point in points],
                      "forecast": forecast(points, 2 * rows)})
    return found
