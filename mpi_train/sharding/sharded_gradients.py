"""Gradients that FSDP2 sums over the ranks in each micro-batch, and leaves sharded."""

import time
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from mpi_train.exchange.gradient_exchange import Reduction
from mpi_train.exchange.group import Group
from mpi_train.exchange.shared_gradients import all_finite, multiply
from mpi_train.sharding.shards import local_gradient

Array = np.ndarray


class ShardedGradients:
    """Every own shard's `.grad` holds its rows of the sum, once it is finished (GradientExchange).

    Args:
        sharded: the model's parameters by name, as FSDP2 has them.
        own: this rank's rows of them.
    """

    picks = False
    launched = True  # the first micro-batch gathers and sums already

    def __init__(
        self, sharded: Mapping[str, nn.Parameter], own: Mapping[str, nn.Parameter], group: Group
    ) -> None:
        self._group = group
        self._pairs = [(sharded[name], own[name]) for name in own if own[name].requires_grad]

    def start(self, words: Tensor | None = None) -> None:
        """Begin an update: no gradients."""
        assert words is None
        for parameter, own in self._pairs:
            parameter.grad = own.grad = None

    def arm(self) -> None:
        """The next backward pass is the last of the update; every one sums."""

    def finish(self, ratios: Array, factor: float = 1.0) -> Reduction:
        """Show the sums as gradients of the own shards."""
        started = time.perf_counter()
        for parameter, own in self._pairs:
            own.grad = local_gradient(parameter, own)
        multiply(self._shards(), factor)
        finite = all_finite(self._shards())
        seconds = time.perf_counter() - started
        return Reduction(seconds, seconds, finite)

    def clip(self, limit: float) -> None:
        """Scale the finished gradient down to a global norm, as torch's clip_grad_norm_."""
        square = sum(float(shard.double().square().sum()) for shard in self._shards())
        norm = float(self._group.all_gather([square]).sum()) ** 0.5
        scale = min(limit / (norm + 1e-6), 1.0)
        torch._foreach_mul_(self._shards(), scale)

    def _shards(self) -> list[Tensor]:
        return [own.grad for _, own in self._pairs if own.grad is not None]
