"""The trainer's own updates on one device, timed; and its loader by itself."""

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from benchmarks.gpu.card import settle
from benchmarks.gpu.workloads import Workload, operations
from models.micro_batches import micro_batches
from models.nets import build
from models.nets.predict import to_tensors
from mpi_train.data import BatchReader
from mpi_train.exchange.communicator import Communicator
from mpi_train.monitoring.phase_timer import PHASES
from mpi_train.monitoring.profiler import kernels
from mpi_train.update import Updater
from reviews.store import Store

WARM_UP = 2  # updates that are not counted
TRACED = 3
RATE = 1e-4  # small: what is learned here is thrown away


@dataclass(frozen=True)
class Speed:
    """Speed of some updates.

    Attributes:
        operations_per_s: floating-point operations a second in products, as the model needs them.
        memory: bytes that the device held at most.
        busy: part of the time in which the device had work, or None where it is not known.
        kernels: the longest kernels, with their parts of the device's time.
        phases: parts of the program's time.
    """

    reviews_per_s: float
    tokens_per_s: float
    operations_per_s: float
    memory: int
    busy: float | None
    kernels: tuple[tuple[str, float], ...]
    phases: dict[str, float]

    def bound(self) -> str:
        """Name of what it waits for."""
        if self.phases["data"] > 0.5:
            return "the loader"
        if self.busy is None or self.busy >= 0.7:
            return "the device" + "".join(f"; {name} {part:.0%}" for name, part in self.kernels)
        longest = max(PHASES, key=self.phases.__getitem__)
        return f"the host: {longest} {self.phases[longest]:.0%} of its time"


class Trainer:
    """One rank that trains a workload."""

    def __init__(
        self, workload: Workload, store: Store, device: torch.device, **options: Any
    ) -> None:
        self._device, self._done = device, 0
        config = workload.configuration(store, device=str(device), **options)
        communicator = Communicator()
        communicator.connect("auto", device=str(device))
        data = config.data
        self.reader = BatchReader(store, "train", data.batch_size, 0, data.window)
        self.options = workload.model_options(config, store)
        torch.manual_seed(0)
        self.updater = Updater(config, communicator, self.reader, build(self.options))
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def update(self) -> Any:
        """The next update."""
        updates = self.reader.plan.updates
        done, self._done = self._done, self._done + 1
        return self.updater.run(done // updates, done % updates, RATE)

    def measure(self, seconds: float, trace: bool) -> Speed:
        """The speed of as many updates as take about so long, two at least."""
        for _ in range(WARM_UP):
            self.update()
        self.updater.timer.take()
        settle(self._device)
        started, reviews, tokens = time.perf_counter(), 0, 0
        phases, updates = dict.fromkeys(PHASES, 0.0), 0
        while updates < 2 or time.perf_counter() - started < seconds:
            update = self.update()
            reviews, tokens = reviews + int(update.reviews.sum()), tokens + int(update.tokens.sum())
            phases = {name: phases[name] + update.phases[name] for name in PHASES}
            updates += 1
        settle(self._device)
        took = time.perf_counter() - started
        memory = (torch.cuda.max_memory_allocated(self._device)
                  if self._device.type == "cuda" else 0)
        busy, longest = self._trace() if trace and self._device.type == "cuda" else (None, ())
        whole = sum(phases.values())
        return Speed(reviews / took, tokens / took,
                     operations(self.options, tokens / reviews) * tokens / took, memory, busy,
                     longest, {name: part / whole for name, part in phases.items()})

    def _trace(self) -> tuple[float, tuple[tuple[str, float], ...]]:
        """Part of the time in which the GPU had work, and its longest kernels."""
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CUDA]) as traced:
            settle(self._device)
            started = time.perf_counter()
            for _ in range(TRACED):
                self.update()
            settle(self._device)
            took = time.perf_counter() - started
        found = kernels(traced)
        whole = sum(event.self_device_time_total for event in found) or 1.0
        return whole / 1e6 / took, tuple(
            (event.key[:48], event.self_device_time_total / whole) for event in found[:2])


def loaded_a_second(
    store: Store, batch_size: int, micro_batch_tokens: int, device: torch.device, seconds: float
) -> float:
    """Reviews a second that the loader brings to the device, with no model there."""
    reader = BatchReader(store, "train", batch_size, 0, 64)
    updates, done, reviews, started = reader.plan.updates, 0, 0, 0.0
    while not started or time.perf_counter() - started < seconds:
        batch = reader.batch(done // updates, done % updates)
        for first, last in pairwise(micro_batches(batch.lengths, micro_batch_tokens).tolist()):
            to_tensors(batch.take(first, last), device)
        done += 1
        reviews += len(batch.lengths)
        if done == WARM_UP:
            settle(device)
            reviews, started = 0, time.perf_counter()
    settle(device)
    return reviews / (time.perf_counter() - started)
