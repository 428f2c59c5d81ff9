"""Gradients in flat buckets that are summed over the ranks while the backward pass still runs."""

import time

import torch
from torch import Tensor, nn

from mpi_train.group import Group, Handle
from mpi_train.models.embedding import Embedding


class GradientBuckets:
    """Every parameter's `.grad` is a view into one of a few flat tensors.

    Parameters are laid out in reverse order, about as the backward pass comes by them. In the
    last micro-batch of an update, a bucket is launched when all its gradients are there and
    the buckets before it are on their way: all ranks launch in the same order.
    """

    def __init__(
        self, model: nn.Module, group: Group, bucket_bytes: int = 1 << 20
    ) -> None:
        self._group = group
        self._flat: list[Tensor] = []
        self._sizes: list[int] = []  # parameters of each bucket
        self._bucket: dict[Tensor, int] = {}
        filling: list[nn.Parameter] = []
        for parameter in reversed(list(model.parameters())):
            if filling and sum(p.nbytes for p in [*filling, parameter]) > bucket_bytes:
                self._add(filling)
                filling = []
            filling.append(parameter)
        self._add(filling)
        for parameter in model.parameters():
            parameter.register_post_accumulate_grad_hook(self._ready)
        for module in model.modules():
            if isinstance(module, Embedding):
                module.on_gradient = self._ready
        self._armed = False
        self._missing: list[int] = []
        self._handles: list[Handle] = []

    def _add(self, parameters: list[nn.Parameter]) -> None:
        first = parameters[0]
        flat = torch.zeros(
            sum(p.numel() for p in parameters), dtype=first.dtype, device=first.device
        )
        offset = 0
        for parameter in parameters:
            part = flat[offset : offset + parameter.numel()]
            parameter.grad = part.view_as(parameter)
            self._bucket[parameter] = len(self._flat)
            offset += parameter.numel()
        self._flat.append(flat)
        self._sizes.append(len(parameters))

    def start(self) -> None:
        """Begin an update: all gradients 0, nothing launched."""
        for flat in self._flat:
            flat.zero_()
        self._armed = False
        self._missing = list(self._sizes)
        self._handles = []

    def arm(self) -> None:
        """The next backward pass is the last of the update: launch what it completes."""
        self._armed = True

    def _ready(self, parameter: Tensor) -> None:
        if not self._armed or self._group.size == 1:
            return
        self._missing[self._bucket[parameter]] -= 1
        while len(self._handles) < len(self._flat) and self._missing[len(self._handles)] == 0:
            self._launch()

    def _launch(self) -> None:
        self._handles.append(self._group.sum_start(self._flat[len(self._handles)]))

    def finish(self) -> tuple[float, float]:
        """Launch what is not under way, on a rank that had no reviews; wait.

        Returns:
            Seconds until all sums were there, and the CPU seconds of this process among them:
            what the rank's own threads did for the exchange. With MPI, which asks again and again
            while it waits, nobody can tell the two apart: 0.
        """
        if self._group.size == 1:
            return 0.0, 0.0
        started, cpu_started = time.perf_counter(), time.process_time()
        while len(self._handles) < len(self._flat):
            self._launch()
        for handle in self._handles:
            handle.wait()
        if self._flat[0].is_cuda:
            # There, a wait only keeps later kernels back.
            torch.cuda.current_stream().synchronize()
        cpu_s = time.process_time() - cpu_started
        return time.perf_counter() - started, 0.0 if self._group.polls else cpu_s
