"""Gradients that travel: dense ones in flat buckets while the backward pass still runs, those of
word vectors and tables as the rows that were touched.
"""

import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from models.nets.embedding import Embedding
from mpi_train.exchange.gradient_exchange import Reduction, WholeGradients
from mpi_train.exchange.group import Group, Handle
from mpi_train.exchange.shared_gradients import (
    SharedGradients,
    all_finite,
    clip,
    multiply,
    square,
)
from mpi_train.exchange.table_gradients import TableGradients

Array = np.ndarray

FEW = 0.5  # of the rows; picking them out and back is cheaper than to exchange the rest


class GradientBuckets:
    """Every parameter's `.grad` is a view into one of a few flat tensors, or sparse.

    Parameters are laid out in reverse order, about as the backward pass comes by them. In the
    last micro-batch of an update, a bucket is launched when all its gradients are there and
    the buckets before it are on their way: all ranks launch in the same order.
    Word vectors have a bucket to themselves. Where an update's words, which all ranks know from
    the plan, are few, only their rows are summed.

    Args:
        bucket_bytes: of a bucket, unless a parameter alone has more.
        few: part of the word vectors up to which only rows are exchanged.
        rounded: gradients travel as bfloat16; those of tables never do.
    """

    def __init__(
        self, model: nn.Module, group: Group, bucket_bytes: int = 1 << 20, few: float = FEW,
        rounded: bool = False,
    ) -> None:
        self._group, self._few, self._rounded = group, few, rounded
        self._flat: list[Tensor] = []
        self._sizes: list[int] = []  # parameters of each bucket
        self._bucket: dict[Tensor, int] = {}
        filling: list[nn.Parameter] = []
        self._tables = TableGradients(model, group)
        dense = [p for p in model.parameters() if p.requires_grad and p not in self._tables.weights]
        embeddings = [module for module in model.modules()
                      if isinstance(module, Embedding) and module.weight.requires_grad]
        vectors = {embedding.weight for embedding in embeddings}
        for parameter in reversed(dense):
            alone = parameter in vectors or any(p in vectors for p in filling)
            if filling and (alone or sum(p.nbytes for p in [*filling, parameter]) > bucket_bytes):
                self._add(filling)
                filling = []
            filling.append(parameter)
        self._add(filling)
        group.reserve(self._flat)
        for parameter in dense:
            parameter.register_post_accumulate_grad_hook(self._ready)
        for embedding in embeddings:
            embedding.on_gradient = self._ready
        self._vectors = {self._bucket[weight]: weight for weight in vectors}
        self._rows: Tensor | None = None  # of word vectors, if few are touched
        self._picked: dict[int, Tensor] = {}  # their sums on the way, by bucket
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

    @property
    def picks(self) -> bool:
        """True where the rows of word vectors may be picked by the words of an update."""
        return self._group.size > 1 and bool(self._vectors)

    @property
    def launched(self) -> bool:
        """True when a bucket is under way."""
        return bool(self._handles)

    def start(self, words: Tensor | None = None) -> None:
        """Begin an update (GradientExchange)."""
        before, self._rows = self._rows, words
        for number, flat in enumerate(self._flat):
            if number in self._vectors and before is not None:
                self._grad(number).index_fill_(0, before, 0)
            else:
                flat.zero_()
        self._picked.clear()
        if words is not None and any(len(words) > self._few * len(weight)
                                     for weight in self._vectors.values()):
            self._rows = None
        self._tables.clear()
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

    def _grad(self, number: int) -> Tensor:
        gradient = self._vectors[number].grad
        assert gradient is not None
        return gradient

    def _launch(self) -> None:
        number = len(self._handles)
        values = self._flat[number]
        if number in self._vectors and self._rows is not None:
            values = self._picked[number] = self._grad(number).index_select(0, self._rows)
        self._handles.append(self._group.all_reduce(values, self._rounded))

    def finish(self, ratios: Array, factor: float = 1.0) -> Reduction:
        """Launch what is not under way, on a rank that had no reviews; wait (GradientExchange).

        Sums that travel cost every rank the same, whatever its part of the work. All threads of
        the process work for them. MPI asks again and again while it waits, so that there nobody
        can tell work and waiting apart.
        """
        started, cpu_started = time.perf_counter(), time.process_time()
        while self._group.size > 1 and len(self._handles) < len(self._flat):
            self._launch()
        for handle in self._handles:
            handle.wait()
        self._tables.finish()
        multiply([*self._sums(), *self._tables.values()], factor)
        for number, values in self._picked.items():
            assert self._rows is not None
            self._grad(number).index_copy_(0, self._rows, values)
        # On a GPU, a wait only keeps later kernels back; this look waits for them all.
        finite = all_finite([*self._sums(), *self._tables.values()])
        cpu_s = time.process_time() - cpu_started
        return Reduction(time.perf_counter() - started, 0.0 if self._group.polls else cpu_s,
                         finite)

    def _sums(self) -> Iterator[Tensor]:
        """The finished dense gradients; of word vectors the rows that were picked, if any."""
        for number, flat in enumerate(self._flat):
            yield self._picked.get(number, flat)

    def own_square(self) -> float:
        """Squared norm of what this rank's micro-batches added up so far."""
        return square([*self._flat, *self._tables.own_values()])

    def square(self) -> float:
        """Squared norm of the finished gradient."""
        return square([*self._sums(), *self._tables.values()])

    def clip(self, limit: float) -> None:
        """Scale the finished gradient down to a global norm, as torch's clip_grad_norm_.

        Every rank holds the same sums, and so comes to the same factor.
        """
        clip([*self._flat, *self._tables.values()], limit)


def gradients_of(
    model: nn.Module, group: Group, exchange: str = "full"
) -> WholeGradients:
    """The exchange of a model's gradients over a group, in full or as bf16."""
    if group.shares_memory:
        return SharedGradients(model, group)
    return GradientBuckets(model, group, rounded=exchange == "bf16")
