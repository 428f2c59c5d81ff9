"""One rank of `reviewmill bench exchange`: the trainer with each backend, in turns."""

import argparse
from statistics import median
from typing import NamedTuple

import torch

from benchmarks.measure import machine, table
from models.nets import build
from mpi_train.configuration.resolve import layered
from mpi_train.data import BatchReader
from mpi_train.exchange.choose_backend import sum_seconds
from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.process_setup import prepare_process
from mpi_train.update import Updater
from reviews.store import Store

HEADER = ["backend", "sum ms", "of the first", "exchange ms", "reviews/s", "of the first"]


class Turn(NamedTuple):
    """Some updates by one backend, on rank 0.

    Attributes:
        sum_s: of an all-reduce as large as the gradient, by itself.
        exchange_s: of an update, by which the exchange is longer than the backward pass; waiting
            for slower ranks counts.
        reviews_per_s: of the updates.
    """

    sum_s: float
    exchange_s: float
    reviews_per_s: float


class Trainer:
    """The trainer's own parts by one backend."""

    def __init__(
        self, backend: str, options: argparse.Namespace, communicator: Communicator
    ) -> None:
        config = layered({"model": options.model, "store": options.store, "balance": "equal",
                          "batch_size": options.batch_size, "seed": 0})
        store, data = Store(options.store), config.data
        self._reader = BatchReader(store, "train", data.batch_size, 0, data.window)
        torch.manual_seed(0)
        model = build(config.model_options(store))
        communicator.backend = backend
        self._updater = Updater(config, communicator, self._reader, model)
        self._message = torch.zeros(self._updater.replica.parameters)
        self._updater.group.reserve([self._message])
        self._done = 0

    @property
    def megabytes(self) -> float:
        """The gradient's size."""
        return self._message.nbytes / 1e6

    def turn(self, updates: int) -> Turn:
        """So many updates."""
        sum_s = sum_seconds(self._updater.group, self._message)
        seconds = exchange_s = 0.0
        reviews = 0
        self._updater.timer.take()
        for _ in range(updates):
            update = self._updater.run(0, self._done % self._reader.plan.updates, 1e-3)
            assert update is not None, "shares are equal"
            self._done += 1
            seconds += update.step_s
            exchange_s += update.phases["exchange"]
            reviews += int(update.reviews.sum())
        return Turn(sum_s, exchange_s / updates, reviews / seconds)


def main() -> None:
    """Measure; rank 0 prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--backends", required=True)
    parser.add_argument("--model", required=True)
    for name in ("--batch-size", "--turns", "--updates"):
        parser.add_argument(name, type=int, required=True)
    options = parser.parse_args()
    communicator = Communicator()
    with communicator.together():
        prepare_process(0, communicator.core_sharers)
        names = options.backends.split(",")
        communicator.connect("shm+gloo" if "shm+gloo" in names else "gloo", device="cpu")
        trainers = {name: Trainer(name, options, communicator) for name in names}
        turns: dict[str, list[Turn]] = {name: [] for name in names}
        for number in range(options.turns + 1):
            for name, trainer in trainers.items():
                found = trainer.turn(options.updates)
                turns[name] += [found] if number else []  # the first warms up
    if communicator.rank == 0:
        hosts = len({*communicator.machines})
        print(f"{machine()}; {communicator.size} ranks on {hosts} host{'s' * (hosts > 1)}; "
              f"{options.model}, gradient of {trainers[names[0]].megabytes:.1f} MB, batch "
              f"{options.batch_size}; medians of {options.turns} turns\n")
        print(table(HEADER, [_row(name, turns[name], turns[names[0]]) for name in names]))


def _row(name: str, turns: list[Turn], first: list[Turn]) -> list[str]:
    """A line of the table; ratios are medians of pairs."""
    sums = median(turn.sum_s / other.sum_s for turn, other in zip(turns, first, strict=True))
    speeds = median(turn.reviews_per_s / other.reviews_per_s
                    for turn, other in zip(turns, first, strict=True))
    return [name, f"{1e3 * median(turn.sum_s for turn in turns):.1f}", f"{sums:.2f}",
            f"{1e3 * median(turn.exchange_s for turn in turns):.1f}",
            f"{median(turn.reviews_per_s for turn in turns):,.0f}", f"{speeds:.2f}"]


if __name__ == "__main__":
    main()
