"""One rank of `reviewmill bench exchange`: the trainer with each backend, in turns."""

import argparse
import os
from statistics import median
from typing import NamedTuple

# Else every rank warns of each peer whose address no name server knows.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")

import torch

from benchmarks.measure import machine, table
from models.nets import build
from mpi_train.configuration.config import TrainingConfig, make_training_parser
from mpi_train.configuration.resolve import layered
from mpi_train.data import BatchReader
from mpi_train.exchange.choose_backend import sum_seconds
from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.process_setup import prepare_process
from mpi_train.update import Updater
from reviews.options import given
from reviews.store import Store

HEADER = ["backend", "sum ms", "ratio", "exchange ms", "ratio", "reviews/s", "ratio"]


class Turn(NamedTuple):
    """Some sums and updates by one backend, on rank 0.

    Attributes:
        sum_s: of an all-reduce as large as the gradient, by itself.
        exchange_s: of an update, after the backward pass of the last rank: who is there before
            waits for it, too.
        reviews_per_s: of the updates.
    """

    sum_s: float
    exchange_s: float
    reviews_per_s: float


class Trainer:
    """The trainer's own parts by one backend."""

    def __init__(
        self, backend: str, config: TrainingConfig, communicator: Communicator
    ) -> None:
        store, data = Store(config.files.store), config.data
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
        """So many sums and updates."""
        sum_s = median(sum_seconds(self._updater.group, self._message) for _ in range(updates))
        seconds = exchange_s = 0.0
        reviews = 0
        for _ in range(updates):
            update = self._updater.run(0, self._done % self._reader.plan.updates, 1e-3)
            assert update is not None, "shares are equal"
            self._done += 1
            seconds += update.step_s
            exchange_s += float((update.wait_s + update.reduction_s).min())
            reviews += int(update.reviews.sum())
        return Turn(sum_s, exchange_s / updates, reviews / seconds)


def main() -> None:
    """Measure; rank 0 prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--backends", required=True)
    parser.add_argument("--turns", type=int, required=True)
    parser.add_argument("--updates", type=int, required=True)
    parser.add_argument("training", nargs="+")
    options = parser.parse_args()
    communicator = Communicator()

    def start() -> TrainingConfig:
        named = given(make_training_parser("train").parse_args(options.training), TrainingConfig)
        return layered({"balance": "equal", **named, "store": options.store})

    with communicator.together():
        config = communicator.from_root(start)
        prepare_process(config.run.threads, communicator.core_sharers)
        names = options.backends.split(",")
        communicator.connect("shm+gloo" if "shm+gloo" in names else "gloo", device="cpu")
        trainers = {name: Trainer(name, config, communicator) for name in names}
        turns: dict[str, list[Turn]] = {name: [] for name in names}
        for number in range(options.turns + 1):
            for name, trainer in trainers.items():
                found = trainer.turn(options.updates)
                turns[name] += [found] if number else []  # the first warms up
    if communicator.rank == 0:
        hosts = len({*communicator.machines})
        print(f"{machine()}; {communicator.size} ranks on {hosts} host{'s' * (hosts > 1)}; "
              f"{config.model}, gradient of {trainers[names[0]].megabytes:.1f} MB, batch "
              f"{config.data.batch_size}; medians of {options.turns} turns\n")
        print(table(HEADER, [_row(name, turns[name], turns[names[0]]) for name in names]))


def _row(name: str, turns: list[Turn], first: list[Turn]) -> list[str]:
    """A line of the table; ratios are medians of pairs."""
    def ratio(field: str) -> str:
        pairs = zip(turns, first, strict=True)
        return f"{median(getattr(one, field) / getattr(other, field) for one, other in pairs):.2f}"

    sum_s, exchange_s, reviews_per_s = map(median, zip(*turns, strict=True))
    return [name, f"{1e3 * sum_s:.1f}", ratio("sum_s"), f"{1e3 * exchange_s:.1f}",
            ratio("exchange_s"), f"{reviews_per_s:,.0f}", ratio("reviews_per_s")]


if __name__ == "__main__":
    main()
