"""One of two ranks that share a GPU under gloo: `mpirun -n 2 python -m benchmarks.gpu.rank ...`.

For a while they are alike, then rank 1 has a load beside its training, then not any more. Rank 0
prints one line of JSON.
"""

import argparse
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.card import settle
from benchmarks.gpu.workloads import WORKLOADS
from models.nets import build
from mpi_train.data import BatchReader
from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.process_setup import prepare_process
from mpi_train.update import Update, Updater
from reviews.store import Store

SIDE = {"cuda": 4096, "cpu": 256}  # of the products that are the load
LOADED_RANK = 1


@contextmanager
def load(device: torch.device, active: bool) -> Iterator[None]:
    """Inside, where it is active, another thread multiplies matrices on the device."""
    over = threading.Event()

    def multiply() -> None:
        factor = torch.ones(SIDE[device.type], SIDE[device.type], device=device)
        while not over.is_set():
            factor @ factor
            settle(device)

    thread = threading.Thread(target=multiply, name="load")
    if active:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if active:
            thread.join()


class DeviceClock:
    """Seconds that the device had this rank's forward and backward passes under way, by its own
    events; by the clock where it has none."""

    def __init__(self, device: torch.device) -> None:
        self._device, self.seconds = device, list[float]()

    def around(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, timed."""
        def timed(*arguments: Any) -> Any:
            if self._device.type != "cuda":
                started = time.perf_counter()
                result = work(*arguments)
                self.seconds.append(time.perf_counter() - started)
                return result
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            first.record()
            result = work(*arguments)
            last.record()
            last.synchronize()
            self.seconds.append(first.elapsed_time(last) / 1e3)
            return result

        return timed


class Phases:
    """Updates of the two ranks, one epoch at most."""

    def __init__(self, store: Store, device: torch.device, batch_size: int, precision: str) -> None:
        self.communicator = Communicator()
        self.communicator.connect("gloo", device=str(device))
        workload = WORKLOADS["2019"]
        config = workload.configuration(
            store, batch_size=batch_size, precision=precision, micro_batch_tokens=1 << 18,
            device=str(device))
        reader = BatchReader(store, "train", batch_size, 0, config.data.window)
        torch.manual_seed(0)
        self._updater = Updater(config, self.communicator, reader,
                                build(workload.model_options(config, store)))
        self._updater.replica.broadcast()
        self._clock, replica = DeviceClock(device), self._updater.replica
        replica.back_propagate = self._clock.around(  # type: ignore[method-assign]
            replica.back_propagate)
        self.left, self._done = reader.plan.updates, 0

    def run(self, updates: int) -> dict[str, Any]:
        """So many updates: on rank 0 medians of their later half, of both ranks."""
        found, last = list[Update](), self._done + updates
        self._clock.seconds.clear()
        while self._done < last:
            if self._updater.coordinator.parked:
                self._done = self._updater.sit_out(last)
                continue
            update = self._updater.run(0, self._done, 1e-4)
            if update:
                found.append(update)
                self._done += 1
        self._updater.coordinator.dismiss()
        if self.communicator.rank:
            return {}
        late, seconds = found[len(found) // 2 :], self._clock.seconds[len(found) // 2 :]
        return {
            "shares": _medians(update.reviews for update in late),
            "compute_s": _medians(update.compute_s for update in late),
            "wait_s": _medians(update.wait_s for update in late),
            "reviews_per_s": median(int(update.reviews.sum()) / update.step_s for update in late),
            "efficiency": median(update.efficiency for update in late),
            "device_s": median(seconds),
        }


def _medians(values: Iterable[np.ndarray]) -> list[float]:
    """Median of each rank over some updates."""
    return np.median([*values], axis=0).tolist()


def main() -> None:
    """Measure; rank 0 prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--device", required=True)
    parser.add_argument("--precision", required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--updates", type=int, required=True, help="of each phase, at most")
    options = parser.parse_args()
    device = torch.device(options.device)
    prepare_process(1, 1)
    phases = Phases(Store(options.store), device, options.batch_size, options.precision)
    with phases.communicator.together():
        updates, found = min(options.updates, phases.left // 3), {}
        for name in ("alike", "loaded", "alike again"):
            loaded = name == "loaded" and phases.communicator.rank == LOADED_RANK
            with load(device, loaded):
                found[name] = phases.run(updates)
    if phases.communicator.rank == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
