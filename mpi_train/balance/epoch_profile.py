"""Balancing in the manner of 2019: once an epoch, from what the epoch before took."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mpi_train.balance.balancer import Decision, check_times
from mpi_train.balance.water_filling import Array, proportional


class EpochProfile:
    """Shares for R ranks: equal in the first epoch, then in proportion to tokens a second."""

    def __init__(self, ranks: int) -> None:
        self.ratios = np.full(ranks, 1 / ranks)
        self.active = np.ones(ranks, bool)
        self._tokens, self._seconds = np.zeros(ranks), np.zeros(ranks)

    def observe(
        self, tokens: Sequence[float] | Array, seconds: Sequence[float] | Array,
        *unused: Sequence[float] | Array,
    ) -> None:
        """Take in an update: tokens and own seconds (R,) of each rank, the exchange left out.

        What else is known of it (`Balancer.observe`) was not looked at, then.
        """
        x, t = check_times(tokens, seconds, self.active)
        self._tokens += x
        self._seconds += t

    def decide(self, first: bool) -> Decision:
        """Shares of the next update; they change with the first of an epoch."""
        renewed = first and bool((self._seconds > 0).all() and (self._tokens > 0).all())
        if renewed:
            self.ratios = proportional(self._tokens, self._seconds)
            self._tokens, self._seconds = np.zeros_like(self.ratios), np.zeros_like(self.ratios)
        return Decision(self.ratios, self.active, np.zeros_like(self.ratios), renewed, math.nan)

    def state(self) -> dict[str, Any]:
        """State for a checkpoint: what the next epoch's shares are made from."""
        return {"ratios": self.ratios.tolist(), "tokens": self._tokens.tolist(),
                "seconds": self._seconds.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave; with another number of ranks, begin anew."""
        if len(state.get("ratios", ())) == len(self.ratios):
            self.ratios, self._tokens, self._seconds = (
                np.array(state[name], np.float64) for name in ("ratios", "tokens", "seconds"))
