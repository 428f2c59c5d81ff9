"""Gradients of ranks on one host, summed in the memory that they share."""

import math
import time
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from mpi_train.exchange.gradient_exchange import Reduction
from mpi_train.exchange.group import Group
from mpi_train.exchange.table_gradients import TableGradients

Array = np.ndarray

LINE = 16  # numbers: what one rank writes and another reads lies on different cache lines
PIECE = 1 << 15  # numbers that are added at once, so that the sum stays in the cache


class SharedGradients:
    """Every parameter's `.grad` is a view into this rank's row of the memory, or sparse.

    When all rows are complete, each rank adds up a part of all of them, as long as its part of
    the update's work, so that a slow rank has little to do for it; nothing is copied or sent.
    The rows are added in the order of the ranks: the sum does not depend on who adds what.
    After `finish`, `.grad` is a view into the sum; ranks that are parked add nothing to it.
    """

    picks = False  # all rows of word vectors are added up
    launched = False  # nothing is summed before `finish`

    def __init__(self, model: nn.Module, group: Group) -> None:
        self._group, self._tables = group, TableGradients(model, group)
        self._parameters = [p for p in model.parameters()
                            if p.requires_grad and p not in self._tables.weights]
        first = self._parameters[0]
        numbers = sum(p.numel() for p in self._parameters)
        padded = -(-numbers // LINE) * LINE
        memory = group.memory((group.all_ranks + 1) * padded * first.element_size())
        rows = torch.from_numpy(memory).view(first.dtype).view(-1, padded)  # (ranks + 1, padded)
        self._rows, self._own, self._sum = rows, rows[group.rank], rows[-1]

    def start(self, words: Tensor | None = None) -> None:
        """Begin an update: all gradients 0."""
        assert words is None
        self._own.zero_()
        self._show(self._own)
        self._tables.clear()

    def arm(self) -> None:
        """The next backward pass is the last of the update; nothing is launched for it."""

    def finish(self, ratios: Array, factor: float = 1.0) -> Reduction:
        """Sum over the group (GradientExchange).

        Only the CPU time of this thread counts as its own: others may read the next batch.
        """
        started, cpu_started = time.perf_counter(), time.thread_time()
        if self._group.size > 1:
            finite = self._add_up(ratios, factor)
            self._show(self._sum)
        else:
            multiply([self._own], factor)
            finite = all_finite([self._own])
        self._tables.finish()
        multiply(self._tables.values(), factor)
        finite &= all_finite(self._tables.values())
        return Reduction(time.perf_counter() - started, time.thread_time() - cpu_started, finite)

    def _add_up(self, ratios: Array, factor: float) -> bool:
        """Add up this rank's part of the rows, times a factor; False where a sum is no number."""
        self._group.barrier()
        bounds = np.rint(np.append(0, np.cumsum(ratios)) * (len(self._sum) / LINE)) * LINE
        first, last = bounds[self._group.rank : self._group.rank + 2].astype(int).tolist()
        pieces = [self._sum[begin : min(begin + PIECE, last)]
                  for begin in range(first, last, PIECE)]
        finite = True
        for begin, total in zip(range(first, last, PIECE), pieces, strict=True):
            piece = slice(begin, begin + len(total))
            total.copy_(self._rows[self._group.ranks[0], piece])
            for rank in self._group.ranks[1:]:
                total += self._rows[rank, piece]
            multiply([total], factor)
            finite &= all_finite([total])
        self._group.barrier()
        return finite

    def clip(self, limit: float) -> None:
        """Scale the finished gradient down to a global norm, as torch's clip_grad_norm_."""
        # The others read the sum, too, so it is scaled in a copy.
        if self._group.size > 1:
            self._own.copy_(self._sum)
            self._show(self._own)
        clip([self._own, *self._tables.values()], limit)

    def own_square(self) -> float:
        """Squared norm of what this rank's micro-batches added up so far."""
        return square([self._own, *self._tables.own_values()])

    def square(self) -> float:
        """Squared norm of the finished gradient."""
        return square([self._sum if self._group.size > 1 else self._own, *self._tables.values()])

    def _show(self, row: Tensor) -> None:
        """Make every parameter's gradient a view into a row."""
        offset = 0
        for parameter in self._parameters:
            part = row[offset : offset + parameter.numel()]
            parameter.grad = part.view_as(parameter)
            offset += parameter.numel()


def all_finite(parts: Iterable[Tensor]) -> bool:
    """False where a number of the parts is nan or infinite: a sum has to be one, too."""
    return all(math.isfinite(part.sum()) for part in parts)


def multiply(parts: Iterable[Tensor], factor: float) -> None:
    """Multiply the parts of a gradient in place."""
    if factor != 1:
        for part in parts:
            part.mul_(factor)


def square(parts: Iterable[Tensor]) -> float:
    """Squared norm of the parts of a gradient together."""
    return sum(float(part.norm()) ** 2 for part in parts)


def clip(parts: list[Tensor], limit: float) -> None:
    """Scale the parts of a gradient down to a norm of all of them together."""
    norm = torch.stack([part.norm() for part in parts]).norm()
    scale = (limit / (norm + 1e-6)).clamp(max=1)
    for part in parts:
        part.mul_(scale)
