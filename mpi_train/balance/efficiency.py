"""Efficiency of a group of unequal ranks, as a share of what its ranks could do."""

import numpy as np

from mpi_train.balance.water_filling import Array, water_fill


def efficiency(reviews: Array, compute_s: Array, exchange_s: Array, step_s: float) -> float:
    """Reviews/s of an update over the sum of what its ranks reach without each other.

    An estimate from inside a run: without each other, a rank would take its own time less what
    it spends on the exchange.

    Args:
        reviews, compute_s, exchange_s: (R,); ranks without reviews do not count.
        step_s: seconds of the update.
    """
    works = reviews > 0
    alone_s = np.maximum(compute_s - exchange_s, 1e-9)[works]
    return float(reviews.sum() / step_s / (reviews[works] / alone_s).sum())


def ceiling(a: Array, b: Array, exchange_s: Array, tokens: float) -> float:
    """The highest efficiency that any shares reach, by the fitted lines.

    Args:
        a, b: (R,) of the active ranks: seconds of an update and of a token, without the exchange.
        exchange_s: (R,) of each rank's own for the exchange; all wait for the longest.
        tokens: of the update.
    """
    work_s = water_fill(a, b, tokens)[1]
    return work_s / (work_s + float(exchange_s.max()))
