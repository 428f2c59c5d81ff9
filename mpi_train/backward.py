"""The gradient of a part of a batch, in micro-batches that fit into the memory."""

import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from models.micro_batches import micro_batches
from models.nets.dropout import DropoutRandom
from models.nets.predict import on_device, to_tensors
from mpi_train.configuration.config import TrainingConfig
from mpi_train.data import Batch
from mpi_train.exchange.gradient_exchange import GradientExchange
from mpi_train.monitoring.phase_timer import PhaseTimer
from mpi_train.optimization.loss_scale import LossScale
from mpi_train.optimization.losses import Loss
from mpi_train.optimization.noise_scale import RowSample
from reviews.errors import UserError

Array = np.ndarray

# Types of the layers' products, by precision; others are the weights' own.
ROUNDED = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Inputs(NamedTuple):
    """A micro-batch on the device: arguments of the model, labels, a teacher's logits."""

    tensors: list[Tensor]
    draws: DropoutRandom
    labels: Tensor
    teacher: Tensor | None


class TooLarge(Exception):
    """A micro-batch did not fit into the memory."""

    def __init__(self, rows: int, tokens: int) -> None:
        super().__init__()
        self.rows, self.tokens = rows, tokens


# torch has no type of its own for these: of the CPU, cuDNN before and since 9, cuBLAS, and CUDA
# itself, for pinned memory.
NO_MEMORY = ("DefaultCPUAllocator", "CUDNN_STATUS_ALLOC_FAILED", "DEVICE_ALLOCATION_FAILED",
             "CUBLAS_STATUS_ALLOC_FAILED", "CUDA error: out of memory")


def is_out_of_memory(error: RuntimeError) -> bool:
    """True for an error of torch that found no memory, on the CPU or a GPU."""
    return isinstance(error, torch.OutOfMemoryError) or any(
        name in str(error) for name in NO_MEMORY)


class BackPropagation:
    """Adds up gradients of one rank.

    Attributes:
        loss_scale: factor of the losses, and so of all gradients here.
        max_tokens: padded tokens of a micro-batch, at most; halved where the memory is too small.
        seconds: of the last part's micro-batches: what its tokens took, without what an update
            takes at all.
    """

    def __init__(
        self, config: TrainingConfig, model: nn.Module,
        gradients: GradientExchange, device: torch.device, timer: PhaseTimer,
    ) -> None:
        self._config, self._model, self._gradients = config, model, gradients
        self._device, self._loss, self._timer = device, Loss.of(config.loss), timer
        self.loss_scale = LossScale.of(config.run)
        self._rounded = ROUNDED.get(config.run.precision)
        self.max_tokens = config.data.micro_batch_tokens
        self.seconds = 0.0
        self._fitting = 0  # tokens of the largest micro-batch that went through

    def run(
        self, batch: Batch, part: tuple[int, int], place: tuple[int, int],
        interrupted: Callable[[], bool] | None = None, rounds: int = 0,
    ) -> float | None:
        """Set the gradient to that of a part of a batch; return its summed loss.

        Losses are divided by what the whole batch asks for (its size, or its weights) before the
        backward pass, and the ranks' gradients are summed: the update is that of one process.

        Args:
            part: positions (first, last) in the batch.
            place: (epoch, update), which the dropout masks are drawn for.
            interrupted: for a trial, whose gradient is summed with nobody's; asked after each
                micro-batch whether the rest is of no use any more.
            rounds: number of micro-batches, at least: those that the part lacks are a review that
                counts nothing.

        Returns None when interrupted. Raises UserError when not even one review fits.
        """
        words = None
        if self._gradients.picks and interrupted is None:
            options = self._model.options
            # Dropped words become the unknown one.
            ids = batch.words(options.vocabulary_size, options.padding, options.unknown)
            words = on_device(ids, self._device)
        while True:
            self._timer.mark("rest")
            self._gradients.start(words)
            self._timer.mark("backward")
            try:
                return self._run(batch, part, place, interrupted, rounds)
            except TooLarge as problem:
                rows, tokens = problem.rows, problem.tokens
            # What was added up so far may lack a piece.
            self._halve(rows, tokens)

    def add_signed(self, batch: Batch, sample: RowSample, place: tuple[int, int]) -> None:
        """Set the gradient to the signed sum over sampled reviews of a batch, of losses that are
        divided as in `run`. Nobody sums it; `run` begins anew.

        Raises UserError when not even one review fits.
        """
        positions, signs = sample.positions, torch.from_numpy(sample.signs).to(self._device)
        while True:
            self._timer.mark("rest")
            self._gradients.start()
            self._timer.mark("backward")
            try:
                bounds = micro_batches(batch.lengths[positions], self.max_tokens).tolist()
                for first, last in pairwise(bounds):
                    piece = slice(first, last)
                    self._fitted(batch, positions[piece], place, signs=signs[piece])
                return
            except TooLarge as problem:
                rows, tokens = problem.rows, problem.tokens
            self._halve(rows, tokens)

    def _halve(self, rows: int, tokens: int) -> None:
        """Make micro-batches half as large as one of so many reviews that did not fit."""
        if self._gradients.launched:
            # The other ranks sum what this one sent: the update cannot be begun anew.
            raise UserError(f"no memory is left for {tokens} tokens at once, and other ranks "
                            f"sum already: give --micro-batch-tokens {max(1, tokens // 2)}")
        if rows == 1:
            raise UserError(f"a review of {tokens} tokens does not fit into the memory: "
                            "a smaller model, or a store of shorter reviews, would")
        self.max_tokens = tokens // 2
        self._fitting = min(self._fitting, self.max_tokens)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def count(self, batch: Batch, part: tuple[int, int]) -> int:
        """Number of micro-batches of a part of a batch."""
        return len(self._bounds(batch, part)) - 1

    def _bounds(self, batch: Batch, part: tuple[int, int]) -> list[int]:
        first, last = part
        bounds = first + micro_batches(batch.lengths[first:last], self.max_tokens)
        return bounds.tolist()  # type: ignore[no-any-return]

    def _run(
        self, batch: Batch, part: tuple[int, int], place: tuple[int, int],
        interrupted: Callable[[], bool] | None, rounds: int,
    ) -> float | None:
        last = part[1]
        started = time.perf_counter()
        loss_sum = torch.zeros((), dtype=torch.float64, device=self._device)
        pieces = [*pairwise(self._bounds(batch, part))]
        empty = len(pieces)
        pieces += [(0, 1)] * (rounds - empty)
        for number, (begin, end) in enumerate(pieces):
            tokens = (end - begin) * int(batch.lengths[end - 1])
            # Sums that are under way cannot be taken back, so only a size known to fit starts any.
            if end == last and tokens <= self._fitting and not interrupted:
                self._gradients.arm()
            loss_sum += self._fitted(batch, slice(begin, end), place, number < empty)
            self._fitting = max(self._fitting, tokens)
            if interrupted and interrupted():
                return None
        found = loss_sum.item()  # on a GPU, when all is done
        self._timer.mark("backward")
        self.seconds = time.perf_counter() - started
        return found

    def _fitted(
        self, batch: Batch, where: slice | Array, place: tuple[int, int], counts: bool = True,
        signs: Tensor | None = None,
    ) -> Tensor:
        """Summed loss of a micro-batch; raises TooLarge when there is no memory for it."""
        try:
            loss = self._micro_batch(batch, where, place, counts, signs)
            self._timer.mark("backward")  # what the forward pass kept is free
            return loss
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            lengths = batch.lengths[where]
            raise TooLarge(len(lengths), len(lengths) * int(lengths[-1])) from None

    def _micro_batch(
        self, batch: Batch, where: slice | Array, place: tuple[int, int], counts: bool,
        signs: Tensor | None,
    ) -> Tensor:
        inputs = self._inputs(batch, where, place)
        self._timer.mark("data")
        with self._autocast():
            logits = self._model(*inputs.tensors, draws=inputs.draws)
        loss, scaled = self._losses(logits, inputs, batch, counts, signs)
        self._timer.mark("forward")
        scaled.backward()
        return loss.detach()

    def _inputs(
        self, batch: Batch, where: slice | Array, place: tuple[int, int]
    ) -> Inputs:
        rows = batch.pick(where)
        tensors = to_tensors(rows, self._device)
        labels = on_device(rows.labels, self._device)
        positions = on_device(np.arange(len(batch.lengths))[where], self._device)
        draws = DropoutRandom.of(self._config.run.seed, *place, positions)
        teacher = None if rows.teacher is None else on_device(rows.teacher, self._device)
        return Inputs(tensors, draws, labels, teacher)

    def _autocast(self) -> torch.autocast:
        """Context of a forward pass in this thread."""
        return torch.autocast(self._device.type, self._rounded, self._rounded is not None)

    def _losses(
        self, logits: Tensor, inputs: Inputs, batch: Batch, counts: bool = True,
        signs: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Summed loss of a micro-batch, and what its gradient is taken of."""
        if self._rounded is not None:
            logits = logits.float()
        if signs is not None:
            logits.register_hook(partial(_times_signs, signs))
        loss = self._loss.sum(logits, inputs.labels, inputs.teacher)
        if not counts:
            loss = loss * 0
        # All weights of a batch may be 0; then so is its loss.
        mean = loss / (self._loss.denominator(batch.labels) or 1.0)
        return loss, mean * self.loss_scale.value


def _times_signs(signs: Tensor, gradient: Tensor) -> Tensor:
    """The gradient (v n, ...) of the logits of n reviews, in each of v views, times (n,) signs."""
    repeated = signs.to(gradient.dtype).repeat(len(gradient) // len(signs))
    return gradient * repeated.view(-1, *[1] * (gradient.ndim - 1))
