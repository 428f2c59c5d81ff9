"""Gradient noise scale (McCandlish et al. 2018): tr(S) / |G|^2, in reviews.

Of gradients of single reviews with mean G and covariance S, the mean over n independent ones has
the expected squared norm |G|^2 + tr(S) / n. Two sizes of n give both unknowns: the global batch,
and n = 1. A rank's part or a micro-batch would be no independent sample, since batches are sorted
by length. Single reviews are, whoever has them, and need no backward pass each: under random
signs, the squared norm of a sum has the sum of the squared norms as its expectation.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray

ROWS = 32  # reviews of a sample
PART = 32  # one review of so many is sampled, at most
KEY = 0x6E6F697365  # keeps these random numbers apart from others of the same seed
SURE = 2.0  # standard errors that |G|^2 is above 0, for a noise scale to be known


class RowSample(NamedTuple):
    """Random reviews of a global batch: positions (m,) ascending, signs (m,) of 1 and -1."""

    positions: Array
    signs: Array

    def part(self, first: int, last: int) -> "RowSample":
        """The sampled reviews at the positions first to last (exclusive)."""
        inside = (self.positions >= first) & (self.positions < last)
        return RowSample(self.positions[inside], self.signs[inside])


def draw_sample(seed: int, epoch: int, update: int, rows: int) -> RowSample:
    """The sample of an update whose batch has so many reviews; no reviews where none is due.

    Small batches have one in every few updates. All ranks draw the same.
    """
    size = min(ROWS, rows)
    if rows < 2 or update % -(-size * PART // rows):
        return RowSample(np.zeros(0, np.int64), np.zeros(0, np.float32))
    random = np.random.default_rng([KEY, seed, epoch, update])
    positions = np.sort(random.choice(rows, size, replace=False))
    return RowSample(positions, random.choice(np.array([-1, 1], np.float32), len(positions)))


class GradientNoise(NamedTuple):
    """Unbiased estimates from one update; either may be below 0.

    Attributes:
        squared_norm: of |G|^2, the squared norm of the expected gradient.
        trace: of tr(S), the variance of the gradient of one review.
    """

    squared_norm: float
    trace: float


def estimate_noise(small: int, small_square: float, large: int, large_square: float
                   ) -> GradientNoise:
    """Estimates from the squared norms of mean gradients over two numbers of reviews."""
    squared_norm = (large * large_square - small * small_square) / (large - small)
    trace = (small_square - large_square) / (1 / small - 1 / large)
    return GradientNoise(squared_norm, trace)


@dataclass
class NoiseSums:
    """Sums over the estimates of several updates, of which only means tell something."""

    updates: int = 0
    squared_norm: float = 0.0
    trace: float = 0.0
    squared_norm_2: float = 0.0
    trace_2: float = 0.0
    product: float = 0.0

    def add(self, noise: GradientNoise) -> None:
        """Take in the estimates of an update."""
        self.updates += 1
        self.squared_norm += noise.squared_norm
        self.trace += noise.trace
        self.squared_norm_2 += noise.squared_norm**2
        self.trace_2 += noise.trace**2
        self.product += noise.squared_norm * noise.trace

    def figures(self) -> dict[str, Any] | None:
        """The noise scale as files have it (docs/run-format.md); None before the first update.

        The scale is the ratio of the means; its standard error is that of a ratio (delta method).
        Where |G|^2 is not surely above 0, the scale and what follows from it are None.
        """
        n = self.updates
        if not n:
            return None
        norm, trace = self.squared_norm / n, self.trace / n
        scale = error = None
        if n > 1 and norm > SURE * _standard_error(self.squared_norm_2 / n - norm**2, n):
            scale = max(trace / norm, 0.0)
            spread = (self.trace_2 - 2 * scale * self.product + scale**2 * self.squared_norm_2) / n
            error = _standard_error(spread - (trace - scale * norm) ** 2, n) / norm
        return {"scale": scale, "error": error, "updates": n, "squared_norm": norm,
                "trace": trace, "batch_size": None if scale is None else suggested_batch(scale)}


def _standard_error(variance: float, n: int) -> float:
    """Standard error of a mean over n values with this variance about their own mean."""
    return math.sqrt(max(variance, 0.0) / (n - 1))


def suggested_batch(scale: float) -> int:
    """The power of two next to a noise scale: with that batch, a run needs twice the updates that
    any larger one would, and twice the reviews that any smaller one would."""
    return int(2 ** round(math.log2(max(scale, 1.0))))
