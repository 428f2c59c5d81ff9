"""The moving average of the weights, which often serves better than the last of them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from models.nets.bag import Table


class EMA:
    """Exponential moving average of a model's weights, one step for each update.

    The decay rises with the updates done, (1 + t) / (10 + t) up to its limit, so that a short
    run's average is not that of its first weights. Tables of n-grams, of which an update changes
    a few rows, stay out of it.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        tables = {module.weight for module in model.modules() if isinstance(module, Table)}
        self._parameters = {name: value for name, value in model.named_parameters()
                            if value.requires_grad and value not in tables}
        self.weights: dict[str, Tensor] = {
            name: value.detach().clone() for name, value in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after update `step`, counted from 1."""
        decay = min(self._decay, (1 + step) / (10 + step))
        values = [value.detach() for value in self._parameters.values()]
        torch._foreach_lerp_(list(self.weights.values()), values, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the model has the averages for weights."""
        own = {name: value.data for name, value in self._parameters.items()}
        try:
            for name, value in self._parameters.items():
                value.data = self.weights[name]
            yield
        finally:
            for name, value in self._parameters.items():
                value.data = own[name]
