"""The moving average of the weights, which often serves better than the last of them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Exponential moving average of a model's weights, one step for each update.

    The decay rises with the updates done, (1 + t) / (10 + t) up to its limit, so that a short
    run's average is not that of its first weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model, self._decay = model, decay
        self.weights: dict[str, Tensor] = {
            name: value.detach().clone() for name, value in model.named_parameters()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after update `step`, counted from 1."""
        decay = min(self._decay, (1 + step) / (10 + step))
        values = [value.detach() for value in self._model.parameters()]
        torch._foreach_lerp_(list(self.weights.values()), values, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the model has the averages for weights."""
        own = {name: value.data for name, value in self._model.named_parameters()}
        try:
            for name, value in self._model.named_parameters():
                value.data = self.weights[name]
            yield
        finally:
            for name, value in self._model.named_parameters():
                value.data = own[name]
