"""Gradient noise scale of several updates, from the estimates that a run records of each."""

import math
from dataclasses import dataclass
from typing import Any

SURE = 2.0  # standard errors that |G|^2 is above 0, for a noise scale to be known


@dataclass
class NoiseSums:
    """Sums over the estimates of several updates, of which only means tell something."""

    updates: int = 0
    squared_norm: float = 0.0
    trace: float = 0.0
    squared_norm_2: float = 0.0
    trace_2: float = 0.0
    product: float = 0.0

    def add(self, squared_norm: float, trace: float) -> None:
        """Take in the estimates of an update."""
        self.merge(NoiseSums(1, squared_norm, trace, squared_norm**2, trace**2,
                             squared_norm * trace))

    def merge(self, other: "NoiseSums") -> None:
        """Take in the sums over other updates."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

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
