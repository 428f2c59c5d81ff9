"""Sums of numbers that travel as bfloat16."""

from typing import Any

import torch
from torch import Tensor


class RoundedSum:
    """A sum of numbers that travel as bfloat16, and are added up in the type they have.

    Each rank adds up one piece, and hands it out: half the bytes of a ring of float32. All ranks
    end up with the same numbers, since a rank takes its own piece rounded, too.

    Args:
        data: a process group of torch, of so many ranks.
        values: this rank's, and then the sum.
        on_cpu: whether they are sent from the CPU's memory: of a GPU's, gloo has no all-gather.
    """

    def __init__(self, data: Any, values: Tensor, size: int, on_cpu: bool = False) -> None:
        self._data, self._values, self._size = data, values, size
        padded = -(-values.numel() // size) * size
        device = torch.device("cpu") if on_cpu else values.device
        self._sent = torch.zeros(padded, dtype=torch.bfloat16, device=device)
        self._sent[: values.numel()] = values.view(-1)
        self._pieces = torch.empty_like(self._sent)
        self._scattered = data.alltoall_base(self._pieces, self._sent, [], [])

    def wait(self) -> None:
        """Return when the tensor holds the sum."""
        self._scattered.wait()
        own = self._pieces.view(self._size, -1).to(self._values.dtype).sum(0)
        self._data._allgather_base(self._sent, own.to(torch.bfloat16)).wait()
        self._values.view(-1).copy_(self._sent[: self._values.numel()])
