"""Gradient noise scale (McCandlish et al. 2018): tr(S) / |G|^2, in reviews.

Of gradients of single reviews with mean G and covariance S, the mean over n independent ones has
the expected squared norm |G|^2 + tr(S) / n. Two sizes of n give both unknowns: the global batch,
and n = 1. A rank's part or a micro-batch would be no independent sample, since batches are sorted
by length. Single reviews are, whoever has them, and need no backward pass each: under random
signs, the squared norm of a sum has the sum of the squared norms as its expectation. Estimates of
many updates become figures in `reviews.runtime.noise_sums`.
"""

from typing import NamedTuple

import numpy as np

Array = np.ndarray

ROWS = 32  # reviews of a sample
PART = 32  # one review of so many is sampled, at most
KEY = 0x6E6F697365  # keeps these random numbers apart from others of the same seed


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
