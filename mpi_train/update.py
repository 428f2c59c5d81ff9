"""One update: a batch, its parts, the gradient of all ranks, and the optimizer's step."""

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from models.micro_batches import prefix_cost
from mpi_train.balance.efficiency import efficiency
from mpi_train.balance.share_coordinator import Rest, Return, ShareCoordinator, Trial
from mpi_train.configuration.config import TrainingConfig
from mpi_train.data import Batch, BatchReader
from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.group import Group
from mpi_train.exchange.step_report import StepReport, StepTimes
from mpi_train.monitoring.noise_meter import NoiseMeter
from mpi_train.monitoring.phase_timer import PhaseTimer
from mpi_train.optimization.loss_scale import LossScaleState
from mpi_train.optimization.losses import Loss
from mpi_train.optimization.noise_scale import GradientNoise
from mpi_train.plan import cut
from mpi_train.replica import Replica
from reviews.runtime.lifeline import CHECKPOINT
from reviews.runtime.quick_imports import load_meta_kernels

if TYPE_CHECKING:
    from mpi_train.sharding.sharded_replica import ShardedReplica

Array = np.ndarray


class NotFinite(Exception):
    """The loss or the gradient of an update is no number; no rank has changed its weights."""

    def __init__(self, what: str, ranks: Array, scaled: bool = False) -> None:
        super().__init__(f"the {what} of {{}} is not finite on rank "
                         + ", ".join(map(str, ranks))
                         + ", at the smallest loss scale" * scaled)


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
        loss_scale: state of the loss scale with which the update was done, where it has one.
        overflows: number of times that the update was done again with half of it.
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
    loss_scale: LossScaleState | None
    overflows: int

    def record(self) -> dict[str, Any]:
        """Fields of its line of metrics.jsonl (`StepRecord`) that are its own."""
        reviews = int(self.reviews.sum())
        found = {
            "loss": self.loss, "reviews": reviews, "tokens": int(self.tokens.sum()),
            "step_s": self.step_s, "reviews_per_s": reviews / self.step_s,
            "shares": self.reviews.tolist(), "share_tokens": self.tokens.tolist(),
            "compute_s": self.compute_s.tolist(), "wait_s": self.wait_s.tolist(),
            "reduction_s": self.reduction_s.tolist(),
            "predicted_s": None if math.isnan(self.predicted_s) else self.predicted_s,
            "efficiency": self.efficiency, "phases": self.phases, "skipped": self.skipped,
        }
        if self.noise:
            found["noise"] = self.noise._asdict()
        if self.loss_scale:
            found |= {"loss_scale": self.loss_scale["value"], "overflows": self.overflows}
        return found

    @property
    def efficiency(self) -> float:
        """Throughput as a fraction of the sum of the ranks' own."""
        return efficiency(self.reviews, self.compute_s, self.reduction_s, self.step_s)


def make_replica(
    config: TrainingConfig, model: nn.Module, group: Group, device: torch.device,
    timer: PhaseTimer,
) -> "Replica | ShardedReplica":
    """The model as this rank holds it, whole or a shard."""
    if config.exchange.parallel != "fsdp":
        return Replica(config, model, group, device, timer)
    load_meta_kernels()
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

        idle_s = time.perf_counter() - read - decision.own_s
        before = StepTimes(read_s=read - started, decide_s=decision.own_s, idle_s=idle_s,
                           optimizer_s=self._optimizer_s)
        scale = self.replica.loss_scale
        earlier = scale.overflows
        reports = self._sum_finite(batch, part, (epoch, number), decision.ratios, before, asked)
        used = scale.state()
        scale.keep()
        weight = self._loss.denominator(batch.labels)
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
            loss=float(np.sum(reports.loss)) / (weight or 1.0), reviews=np.diff(cuts),
            tokens=tokens, compute_s=reports.compute_s, wait_s=reports.wait_s,
            reduction_s=reports.reduction_s, step_s=stepped - started, phases=self.timer.take(),
            predicted_s=decision.predicted_s, renewed=decision.renewed, skipped=not weight,
            asked=heard, noise=noise if weight else None, loss_scale=used,
            overflows=scale.overflows - earlier)

    def _sum_finite(
        self, batch: Batch, part: tuple[int, int], place: tuple[int, int], ratios: Array,
        before: StepTimes, asked: int,
    ) -> StepReport:
        """Sum the gradient of an update (`_sum_gradient`), and after an overflow again with half
        the loss scale, on all ranks; NotFinite where that is the smallest, or the loss no number.
        """
        scale = self.replica.loss_scale
        while True:
            reports = self._sum_gradient(batch, part, place, ratios, before, asked)
            if not math.isfinite(np.sum(reports.loss)):
                raise NotFinite("loss", np.flatnonzero(~np.isfinite(reports.loss)))
            if not np.any(reports.broken):
                return reports
            if not scale.halve():
                raise NotFinite("gradient", np.flatnonzero(reports.broken), bool(scale.state()))

    def _sum_gradient(
        self, batch: Batch, part: tuple[int, int], place: tuple[int, int], ratios: Array,
        before: StepTimes, asked: int,
    ) -> StepReport:
        """Sum the gradient of an update; all ranks' reports, (R,) each, which all have before
        anything changes.

        before: times of what came before the first micro-batch.
        """
        begun, cpu_begun = time.perf_counter(), time.thread_time()
        sampled = self._noise.sample(batch, part, place)
        own_loss = self.replica.back_propagate(batch, part, place)
        backward_s, cpu_s = time.perf_counter() - begun, time.thread_time() - cpu_begun
        assert own_loss is not None, "nobody interrupts an update"
        # Ranks of a sharded model wait for each other in every layer, where only the processor's
        # time is their own.
        waited_s = max(backward_s - cpu_s, 0.0) if self.replica.sharded else 0.0
        reduction = self.replica.reduce(ratios)
        times = before._replace(
            idle_s=before.idle_s + waited_s, backward_s=backward_s - waited_s,
            backward_cpu_s=cpu_s, tokens_s=self.replica.seconds - waited_s)
        report = times.report(own_loss, reduction, asked, sampled)
        reports = StepReport(*self.group.all_gather(report).T)
        self.timer.mark("exchange")
        return reports

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
