"""One update: a batch, its parts, the gradient of all ranks, and the optimizer's step."""

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from models.micro_batches import prefix_cost
from mpi_train.balance.share_coordinator import Rest, Return, ShareCoordinator, Trial
from mpi_train.configuration.config import TrainingConfig
from mpi_train.data import BatchReader
from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.group import Group
from mpi_train.exchange.step_report import StepReport, StepTimes
from mpi_train.monitoring.noise_meter import NoiseMeter
from mpi_train.monitoring.phase_timer import PhaseTimer
from mpi_train.optimization.losses import Loss
from mpi_train.optimization.noise_scale import GradientNoise
from mpi_train.plan import cut
from mpi_train.replica import Replica
from reviews.runtime.lifeline import CHECKPOINT

if TYPE_CHECKING:
    from mpi_train.sharding.sharded_replica import ShardedReplica

Array = np.ndarray


class NotFinite(Exception):
    """The loss or the gradient of an update is no number; no rank has changed its weights."""

    def __init__(self, what: str, ranks: Array) -> None:
        super().__init__(f"the {what} of {{}} is not finite on rank "
                         + ", ".join(map(str, ranks)))


@dataclass(frozen=True)
class Update:
    """Record of an update: all ranks that had a part in it hold the same values.

    Parked ranks count as 0 in all lists.

    Attributes:
        loss: (weighted) mean over the batch.
        reviews: (R,) of each rank.
        tokens: (R,) padded tokens of each rank.
        compute_s: (R,) what each rank did itself, with the optimizer's step of the update before.
        wait_s: (R,) for how long each rank had nothing to do.
        reduction_s: (R,) of compute_s, what each rank did for the exchange alone.
        step_s: seconds of the whole update on this rank.
        phases: seconds of this rank since the update before, by what they were for (PhaseTimer).
        predicted_s: on rank 0, what the balancer thought the slowest rank would take; or nan.
        renewed: on rank 0, whether it changed its mind about the ranks before this update.
        skipped: True where the class weights of all reviews are 0: no step was made.
        asked: signal that asked a rank to end, or 0.
        noise: on rank 0, estimates for the gradient noise scale where they were made.
    """

    loss: float
    reviews: Array
    tokens: Array
    compute_s: Array
    wait_s: Array
    reduction_s: Array
    step_s: float
    phases: dict[str, float]
    predicted_s: float
    renewed: bool
    skipped: bool
    asked: int
    noise: GradientNoise | None


def make_replica(
    config: TrainingConfig, model: nn.Module, group: Group, device: torch.device,
    timer: PhaseTimer,
) -> "Replica | ShardedReplica":
    """The model as this rank holds it, whole or a shard."""
    if config.exchange.parallel == "data":
        return Replica(config, model, group, device, timer)
    from mpi_train.sharding.sharded_replica import ShardedReplica  # imports much of torch

    return ShardedReplica(config, model, group, device, timer)


class Updater:
    """Does updates, on every rank in the same order."""

    def __init__(
        self, config: TrainingConfig, communicator: Communicator, reader: BatchReader,
        model: nn.Module,
    ) -> None:
        self._config, self._communicator, self._reader = config, communicator, reader
        self.group, self._loss, self.timer = Group(communicator), Loss.of(config.loss), PhaseTimer()
        self.replica = make_replica(config, model, self.group, communicator.device, self.timer)
        self.coordinator = ShareCoordinator(config.balance, communicator, self.group)
        measured = isinstance(self.replica, Replica) and config.run.noise_scale
        self._noise = NoiseMeter(self.replica if measured else None, config.run.seed)
        self._optimizer_s = 0.0

    def divide(self, coordinator: ShareCoordinator) -> None:
        """Divide updates in another way from now on; everybody takes part again."""
        self.group.set_ranks(range(self._communicator.size))
        self.coordinator = coordinator
        self.replica.broadcast()

    def run(self, epoch: int, number: int, rate: float, asked: int = 0) -> Update | None:
        """Update `number` of an epoch, at a learning rate; None on a rank without part in it.

        `asked` is the signal that asked this rank to end; all ranks hear of it.

        Raises, on all ranks and before anything changes, NotFinite when the loss or the summed
        gradient is no number, and UnusableTimes when a time that a rank reports is none.
        """
        started = time.perf_counter()
        self.timer.mark("rest")
        batch = self._reader.batch(epoch, number)
        prefix = prefix_cost(batch.lengths, self._config.data.micro_batch_tokens)
        self.timer.mark("data")
        read = time.perf_counter()
        decision = self.coordinator.decide(epoch, number, int(prefix[-1]))
        if self.coordinator.parked:
            return None
        if decision.joined:
            self.replica.broadcast()
        cuts = cut(prefix, decision.ratios)  # (ranks + 1,)
        rank = self._communicator.rank
        part = (int(cuts[rank]), int(cuts[rank + 1]))

        begun, cpu_begun = time.perf_counter(), time.thread_time()
        sampled = self._noise.sample(batch, part, (epoch, number))
        own_loss = self.replica.back_propagate(batch, part, (epoch, number))
        backward_s, cpu_s = time.perf_counter() - begun, time.thread_time() - cpu_begun
        assert own_loss is not None, "nobody interrupts an update"
        # Ranks of a sharded model wait for each other in every layer, where only the processor's
        # time is their own.
        waited_s = max(backward_s - cpu_s, 0.0) if self.replica.sharded else 0.0
        reduction = self.replica.reduce(decision.ratios)
        times = StepTimes(
            read_s=read - started, decide_s=decision.own_s,
            idle_s=begun - read - decision.own_s + waited_s, backward_s=backward_s - waited_s,
            backward_cpu_s=cpu_s, tokens_s=self.replica.seconds - waited_s,
            optimizer_s=self._optimizer_s)
        # All ranks hear of all before anything changes.
        report = times.report(own_loss, reduction, asked, sampled)
        reports = StepReport(*self.group.all_gather(report).T)  # (R,) each
        self.timer.mark("exchange")
        weight = self._loss.denominator(batch.labels)
        loss = float(np.sum(reports.loss)) / (weight or 1.0)
        if not math.isfinite(loss):
            raise NotFinite("loss", np.flatnonzero(~np.isfinite(reports.loss)))
        if np.any(reports.broken):
            raise NotFinite("gradient", np.flatnonzero(reports.broken))
        noise = self._noise.estimate(len(batch.lengths), reports.sampled) if not rank else None
        tokens = np.diff(prefix[cuts])
        self.coordinator.observe(tokens, reports)

        self.timer.mark("rest")
        stepping = time.perf_counter()
        if weight:
            self.replica.step(rate)
        stepped = time.perf_counter()
        self.timer.mark("optimizer")
        self._optimizer_s = stepped - stepping
        heard = int(np.max(reports.asked))
        if heard:
            self._communicator.lifeline.say(CHECKPOINT)
        return Update(
            loss=loss, reviews=np.diff(cuts), tokens=tokens, compute_s=reports.compute_s,
            wait_s=reports.wait_s, reduction_s=reports.reduction_s, step_s=stepped - started,
            phases=self.timer.take(), predicted_s=decision.predicted_s, renewed=decision.renewed,
            skipped=not weight, asked=heard, noise=noise if weight else None)

    def barrier(self) -> None:
        """Barrier of all ranks that are not parked."""
        self.group.barrier()

    def sit_out(self, last: int) -> int:
        """On a parked rank: time trials until there is something else to do.

        Returns the number of the update to go on with: `last` when the epoch is over.
        Raises Stopped when the others have stopped.
        """
        while True:
            call = self.coordinator.next_call()
            if isinstance(call, Return):
                return call.number
            if isinstance(call, Rest):
                return last
            self._try(call)

    def _try(self, trial: Trial) -> None:
        """Time this rank on a middle piece of an update, and throw the gradient away."""
        started = time.perf_counter()
        batch = self._reader.batch(trial.epoch, trial.number)
        prefix = prefix_cost(batch.lengths, self._config.data.micro_batch_tokens)
        piece = min(trial.tokens / int(prefix[-1]), 1.0)
        _, first, last, _ = cut(prefix, [(1 - piece) / 2, piece, (1 - piece) / 2]).tolist()
        if first == last:  # less than half a review
            first, last = (first, first + 1) if first < len(batch.lengths) else (first - 1, first)
        done = self.replica.back_propagate(batch, (first, last), (trial.epoch, trial.number),
                                           self.coordinator.called)
        if done is not None:
            self.coordinator.report(float(prefix[last] - prefix[first]),
                                time.perf_counter() - started)
