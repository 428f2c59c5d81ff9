"""Predictions of a sharded model, whose ranks can only compute at the same time."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from models.rows import Rows
from mpi_train.exchange.group import Group


class InStep(nn.Module):
    """A sharded model that every rank calls as often as the one with the most to do.

    Args:
        example: arguments of a call whose result nobody reads, for a rank that has nothing left.
    """

    def __init__(self, model: nn.Module, group: Group, example: list[Tensor]) -> None:
        super().__init__()
        self._model, self._group, self._example = model, group, example

    def through(self, blocks: Iterable[tuple[int, Rows]]) -> Iterator[tuple[int, Rows]]:
        """The blocks of this rank, which are predicted one after the other; ends when those of all
        ranks are done."""
        yield from blocks
        while self._any_calls(False):
            self._compute(*self._example)

    def forward(self, *tensors: Tensor) -> Tensor:
        """Logits of a micro-batch; all ranks call this, or are at the end of `through`."""
        self._any_calls(True)
        return self._compute(*tensors)

    def _any_calls(self, own: bool) -> bool:
        return bool(self._group.all_gather([float(own)]).any())

    def _compute(self, *tensors: Any) -> Tensor:
        # What is gathered in inference mode could not be trained on afterwards.
        with torch.inference_mode(False), torch.no_grad():
            logits: Tensor = self._model(*tensors)
        return logits
