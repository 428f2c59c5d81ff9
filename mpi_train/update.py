"""One update: a batch, its parts, the gradient of all ranks, and the optimizer's step."""

import math
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from mpi_train.balancer import Balancer
from mpi_train.communicator import Communicator
from mpi_train.config import TrainingConfig
from mpi_train.data import Batch, BatchReader
from mpi_train.gradients import GradientBuckets
from mpi_train.losses import binary_cross_entropy
from mpi_train.models import Recurrent
from mpi_train.models.dropout import Draws
from mpi_train.plan import cut, micro_batches, prefix_cost
from mpi_train.predict import to_tensors

Array = np.ndarray


class NotFinite(Exception):
    """The loss of an update is no number; no rank has changed its weights for it."""

    def __init__(self, ranks: Array) -> None:
        super().__init__(f"not finite on rank {', '.join(map(str, ranks))}")


@dataclass(frozen=True)
class Update:
    """What an update was: all ranks hold the same values.

    Attributes:
        loss: mean over the batch.
        reviews: (R,) of each rank.
        tokens: (R,) padded tokens of each rank.
        compute_s: (R,) what each rank did itself, with the optimizer's step of the update before.
        wait_s: (R,) for how long each rank had nothing to do.
        step_s: seconds of the whole update on this rank.
        predicted_s: what the balancer on rank 0 thought the slowest rank would take, or nan.
        renewed: whether it changed its mind about the ranks before this update.
    """

    loss: float
    reviews: Array
    tokens: Array
    compute_s: Array
    wait_s: Array
    step_s: float
    predicted_s: float
    renewed: bool


def make_optimizer(config: TrainingConfig, model: Recurrent) -> torch.optim.Optimizer:
    """Adam or SGD with momentum, in one fused kernel over all parameters."""
    if config.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), config.learning_rate, fused=True)
    return torch.optim.SGD(
        model.parameters(), config.learning_rate, momentum=config.momentum, fused=True
    )


def back_propagate(
    model: Recurrent, gradients: GradientBuckets, batch: Batch, part: tuple[int, int],
    place: tuple[int, int], config: TrainingConfig, device: torch.device,
) -> float:
    """Add the gradient of a part of a batch, in micro-batches; return its summed loss.

    Losses are divided by the size of the whole batch before the backward pass, and the ranks'
    gradients are summed: the update is that of one process.

    Args:
        part: positions (first, last) in the batch.
        place: (epoch, update), which the dropout masks are drawn for.
    """
    first, last = part
    loss_sum = torch.zeros((), dtype=torch.float64, device=device)
    bounds = first + micro_batches(batch.lengths[first:last], config.micro_batch_tokens)
    for begin, end in pairwise(bounds.tolist()):
        rows = batch.take(begin, end)
        draws = Draws.of(config.seed, *place, torch.arange(begin, end, device=device))
        logits = model(*to_tensors(rows, device), draws)  # (n,)
        labels = torch.from_numpy(rows.labels).to(device)
        loss = binary_cross_entropy(logits, labels, config.positive_weight)
        if end == last:
            gradients.arm()
        (loss / len(batch.lengths)).backward()
        loss_sum += loss.detach()
    return loss_sum.item()


class Updater:
    """Does updates, on every rank in the same order."""

    def __init__(
        self, config: TrainingConfig, communicator: Communicator, reader: BatchReader,
        model: Recurrent, optimizer: torch.optim.Optimizer,
    ) -> None:
        self._config, self._communicator, self._reader = config, communicator, reader
        self._model, self._optimizer = model, optimizer
        self._gradients = GradientBuckets(model, communicator)
        self._ratios = np.array(config.ratios(communicator.size), np.float64)
        self._dynamic = config.balance == "dynamic" and not config.shares
        # Rank 0 decides for all.
        self.balancer = Balancer(communicator.size, parking=False)
        self._optimizer_s = 0.0

    def _decide(self, cost: int) -> tuple[float, bool]:
        """Settle the ratios of the next update, of so many tokens.

        Returns, on rank 0, the seconds it is thought to take, and whether that is new.
        """
        if not self._dynamic:
            return math.nan, False
        predicted_s, renewed = math.nan, False
        if self._communicator.rank == 0:
            decision = self.balancer.decide(cost)
            self._ratios = np.ascontiguousarray(decision.ratios)
            predicted_s, renewed = decision.step_s, decision.renewed
        self._communicator.tell_all(self._ratios)
        return predicted_s, renewed

    def run(self, epoch: int, number: int, rate: float) -> Update:
        """Update `number` of an epoch, at a learning rate.

        Raises NotFinite, on all ranks and before anything changes, when the loss is no number.
        """
        started = time.perf_counter()
        batch = self._reader.batch(epoch, number)
        prefix = prefix_cost(batch.lengths, self._config.micro_batch_tokens)
        predicted_s, renewed = self._decide(int(prefix[-1]))
        cuts = cut(prefix, self._ratios)  # (ranks + 1,)
        rank = self._communicator.rank
        part = (int(cuts[rank]), int(cuts[rank + 1]))

        self._gradients.start()
        own_loss = back_propagate(
            self._model, self._gradients, batch, part, (epoch, number), self._config,
            self._communicator.device,
        )
        # The optimizer runs after the ranks have spoken, so it counts in the next update.
        compute_s = time.perf_counter() - started + self._optimizer_s
        wait_s = self._gradients.finish()

        # A word from every rank before anything changes.
        losses, compute, wait = self._communicator.gather_all([own_loss, compute_s, wait_s]).T
        loss = float(losses.sum()) / len(batch.lengths)
        if not math.isfinite(loss):
            raise NotFinite(np.flatnonzero(~np.isfinite(losses)))
        tokens = np.diff(prefix[cuts])
        if self._dynamic and rank == 0:
            self.balancer.observe(tokens, compute)

        stepping = time.perf_counter()
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        ended = time.perf_counter()
        self._optimizer_s = ended - stepping
        return Update(loss, np.diff(cuts), tokens, compute, wait, ended - started, predicted_s,
                      renewed)
