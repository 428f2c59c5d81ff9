"""Protocol of a gradient exchange, and the record of one reduction."""

from typing import NamedTuple, Protocol

import numpy as np
from torch import Tensor

Array = np.ndarray


class Reduction(NamedTuple):
    """One reduction, as one rank saw it.

    Attributes:
        seconds: until all sums were there.
        own_s: CPU seconds of this rank for its share of the work; 0 where they cannot be told from
            waiting.
        finite: False where this rank found a sum that is no number. Each rank looks at the sums
            that it made; the ranks of a group together look at all of them.
    """

    seconds: float
    own_s: float
    finite: bool


class GradientExchange(Protocol):
    """All-reduce of the gradients of one model over a group."""

    @property
    def picks(self) -> bool:
        """True where `start` has a use for the words of an update."""

    @property
    def launched(self) -> bool:
        """True when a sum of this update is under way, so that it cannot be begun anew."""

    def start(self, words: Tensor | None = None) -> None:
        """Begin an update: all gradients 0, nothing launched.

        Args:
            words: (k,) int64, different ids that hold all that any rank touches; None: any may be.
        """

    def arm(self) -> None:
        """Allow the next backward pass, the last of the update, to launch what it completes."""

    def finish(self, ratios: Array, factor: float = 1.0) -> Reduction:
        """Wait for the sums over the group; every parameter's `.grad` holds them afterwards.

        Args:
            ratios: (R,) parts of the update's work, adding up to 1; 0 for ranks outside.
            factor: of the sums, a power of two.
        """

    def clip(self, limit: float) -> None:
        """Scale the finished gradient down to a global norm, as torch's clip_grad_norm_."""


class WholeGradients(GradientExchange, Protocol):
    """Exchange of gradients of which every rank has all, its own and then the sums."""

    def own_square(self) -> float:
        """Squared norm of what this rank's micro-batches added up so far."""

    def square(self) -> float:
        """Squared norm of the finished gradient."""
