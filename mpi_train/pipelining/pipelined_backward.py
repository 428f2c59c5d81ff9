"""The gradient of a part of a batch where a rank's cores are two groups (`--parallel model`)."""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice, pairwise

import torch
from torch import Tensor, nn

from models.nets.recurrent import Staged, inside_mask
from mpi_train.backward import BackPropagation, Inputs, TooLarge, is_out_of_memory
from mpi_train.configuration.config import TrainingConfig
from mpi_train.data import Batch
from mpi_train.exchange.gradient_exchange import GradientExchange
from mpi_train.monitoring.phase_timer import PhaseTimer

AHEAD = 2  # micro-batches that are embedded before the recurrent layers come to them


class MicroBatch:
    """A micro-batch on its way: three stages forward, and the same back.

    Autograd's graph is cut between the stages, so that each has its backward pass in the thread of
    its forward pass.

    Attributes:
        read: summed loss, when the output layer has been there.
    """

    read: "Future[Tensor]"

    def __init__(self, model: Staged, inputs: Inputs) -> None:
        self._model, self.inputs = model, inputs
        self._tokens, self._lengths = inputs.tensors[:2]
        self._inside = inside_mask(self._tokens, self._lengths)

    def embed(self) -> None:
        """Look up the word vectors."""
        self._x = self._model.embed(self._tokens, self._inside, self.inputs.draws)
        self._x_leaf = self._x.detach().requires_grad_(self._x.requires_grad)

    def recur(self) -> None:
        """Run the recurrent layers."""
        self._y = self._model.recur(self._x_leaf, self._inside, self._lengths, self.inputs.draws)
        self._y_leaf = self._y.detach().requires_grad_()

    def logits(self) -> Tensor:
        """Pool the layers' outputs; logits."""
        return self._model.read(
            self._y_leaf, self._inside, self._tokens, self._lengths, self.inputs.draws)

    def recur_back(self) -> None:
        """Add up the gradient of the recurrent layers."""
        self._y.backward(self._y_leaf.grad)

    def embed_back(self) -> None:
        """Add up the gradient of the word vectors."""
        if self._x.requires_grad:
            self._x.backward(self._x_leaf.grad)


class PipelinedBackPropagation(BackPropagation):
    """Adds up gradients of one rank: the recurrent layers by the calling thread and all threads of
    torch but one; embedding and output layer by another thread, at the same time, on other
    micro-batches.

    Each group of parameters sees the micro-batches in their order: the sums are those of
    BackPropagation. All reductions begin when the last micro-batch is done.
    """

    def __init__(
        self, config: TrainingConfig, model: nn.Module, gradients: GradientExchange,
        device: torch.device, timer: PhaseTimer,
    ) -> None:
        super().__init__(config, model, gradients, device, timer)
        assert isinstance(model, Staged)
        self._staged = model
        self._other = ThreadPoolExecutor(1, "embedding", torch.set_num_threads, (1,))

    def _run(
        self, batch: Batch, part: tuple[int, int], place: tuple[int, int],
        interrupted: Callable[[], bool] | None, rounds: int,
    ) -> float | None:
        assert not rounds, "ranks do not wait for each other's micro-batches"
        started = time.perf_counter()
        pieces = [slice(*piece) for piece in pairwise(self._bounds(batch, part))]
        threads = torch.get_num_threads()
        torch.set_num_threads(max(1, threads - 1))
        try:
            found = self._pipeline(batch, pieces, place, interrupted)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            rows = max(piece.stop - piece.start for piece in pieces)
            tokens = max((piece.stop - piece.start) * int(batch.lengths[piece.stop - 1])
                         for piece in pieces)
            raise TooLarge(rows, tokens) from None
        finally:
            self._other.submit(int).result()  # nothing of this part is under way any more
            torch.set_num_threads(threads)
        self._timer.mark("backward")
        self.seconds = time.perf_counter() - started
        return found

    def _pipeline(
        self, batch: Batch, pieces: list[slice], place: tuple[int, int],
        interrupted: Callable[[], bool] | None,
    ) -> float | None:
        """Summed loss of micro-batches; None when interrupted."""
        coming = (self._other.submit(self._embed, batch, piece, place) for piece in pieces)
        ahead = deque(islice(coming, AHEAD))
        under_way: deque[MicroBatch] = deque()
        embedded: list[Future[None]] = []
        loss_sum = torch.zeros((), dtype=torch.float64)
        while ahead or under_way:
            if ahead:
                piece = ahead.popleft().result()
                with self._autocast():
                    piece.recur()
                piece.read = self._other.submit(self._read, batch, piece)
                ahead.extend(islice(coming, 1))
                under_way.append(piece)
            if len(under_way) == AHEAD or not ahead:
                piece = under_way.popleft()
                loss_sum += piece.read.result()
                piece.recur_back()
                embedded.append(self._other.submit(piece.embed_back))
                if interrupted and interrupted():
                    return None
        for each in embedded:
            each.result()
        return loss_sum.item()

    def _autocast(self) -> torch.autocast:
        # Threads share torch's cache of rounded weights, and each empties it when it leaves:
        # which uses of a weight add up their gradients before they are rounded would be chance.
        return torch.autocast(self._device.type, self._rounded, self._rounded is not None,
                              cache_enabled=False)

    def _embed(self, batch: Batch, where: slice, place: tuple[int, int]) -> MicroBatch:
        """A micro-batch with its word vectors."""
        piece = MicroBatch(self._staged, self._inputs(batch, where, place))
        with self._autocast():
            piece.embed()
        return piece

    def _read(self, batch: Batch, piece: MicroBatch) -> Tensor:
        """Summed loss of a micro-batch, and the gradient of its output layer."""
        with self._autocast():
            logits = piece.logits()
        loss, scaled = self._losses(logits, piece.inputs, batch)
        scaled.backward()
        return loss.detach()
