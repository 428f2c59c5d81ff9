"""One rank of `reviewmill bench balance`: updates together and alone, in turns.

`mpirun -n R python -m benchmarks.ranks.balance STORE ...`; rank 0 prints one line of JSON.

Alone, all ranks train their parts of the same updates at the same time, optimizer included, but
exchange nothing; the sum of their speeds, each measured while all are busy, is the ideal. Both
kinds of phases alternate inside the same processes, since two starts differ by more than what is
looked for.
"""

import argparse
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.throttle import join, set_part
from models.micro_batches import prefix_cost
from models.nets import build
from mpi_train.balance.balancer import Balancer
from mpi_train.balance.efficiency import ceiling
from mpi_train.balance.share_coordinator import ShareCoordinator
from mpi_train.balance.water_filling import proportional
from mpi_train.configuration.resolve import layered
from mpi_train.data import BatchReader
from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.group import patiently
from mpi_train.exchange.process_setup import prepare_process
from mpi_train.update import Update, Updater
from reviews.options import replace_flat
from reviews.store import Store

WARM_UP = 10  # updates from cold
RULE_PAIRS, RULE_UPDATES = 3, 2  # of each other rule
SLOWER = 4  # a rank turns so many times slower
IN_A_ROW = 3  # updates that have to be settled,
SETTLED = 1.1  # which is: at most that much more, by the token, than where it ends


class Ranks:
    """The trainer's own parts, and phases of updates on them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.communicator = Communicator()
        # The plain LSTM of earlier figures is one without the mean and maximum.
        own = {"pooling": "last"} if options.config == "plain-lstm" else {}
        self.config = layered({"config": options.config, "store": options.store,
                               "batch_size": options.batch_size, **own})
        prepare_process(1, 1)
        self.communicator.connect("auto")
        store = Store(options.store)
        data = self.config.data
        self.reader = BatchReader(store, "train", data.batch_size, 0, data.window)
        torch.manual_seed(0)
        self.updater = Updater(self.config, self.communicator, self.reader,
                               build(self.config.model_options(store)))
        self.replica = self.updater.replica
        self.replica.broadcast()
        self.done = 0  # updates

    def rule(self, **choices: Any) -> None:
        """Divide the updates in another way from now on."""
        config = replace_flat(self.config, **choices)
        self.updater.divide(ShareCoordinator(config.balance, self.communicator, self.updater.group))

    def barrier(self) -> None:
        """Wait for all ranks, and leave them the cores."""
        patiently(self.communicator.world.Ibarrier())

    def together(self, updates: int) -> tuple[float, list[Update]]:
        """So many updates: seconds on rank 0, and what they were (nothing while parked)."""
        self.barrier()
        started, found = time.perf_counter(), []
        first = self.done
        while self.done < first + updates:
            if self.updater.coordinator.parked:
                self.done = max(self.done, self.updater.sit_out(first + updates))
                continue
            update = self.updater.run(0, self.done % self.reader.plan.updates, 1e-3)
            if update:
                found.append(update)
                self.done += 1
        seconds = time.perf_counter() - started
        self.updater.coordinator.dismiss()
        return seconds, found

    def alone(self, first: int, shares: Sequence[np.ndarray]) -> float:
        """This rank's reviews a second on its shares (R,) of the updates from `first` on.

        The weights are afterwards what they were before.
        """
        rank = self.communicator.rank
        before = self.replica.full_state()
        self.barrier()
        started = time.perf_counter()
        for number, share in enumerate(shares, first):
            self._train_alone(number, share)
        speed = sum(int(share[rank]) for share in shares) / (time.perf_counter() - started)
        # Who is done goes on until all are: the others' cores do not get faster meanwhile.
        everybody = self.communicator.world.Ibarrier()
        busy = [(number, share) for number, share in enumerate(shares, first) if share[rank]]
        for number, share in itertools.cycle(busy):
            if everybody.Test():
                break
            self._train_alone(number, share)
        patiently(everybody)
        self.replica.load(before)
        return speed

    def _train_alone(self, number: int, share: np.ndarray) -> None:
        """An update of this rank's share (R,), the optimizer's step too."""
        rank = self.communicator.rank
        if not share[rank]:
            return
        batch = self.reader.batch(0, number % self.reader.plan.updates)
        prefix_cost(batch.lengths, self.config.data.micro_batch_tokens)
        begin = int(share[:rank].sum())
        self.replica.back_propagate(batch, (begin, begin + int(share[rank])), (0, number),
                                    lambda: False)
        self.replica.step(1e-3)


def paired(ranks: Ranks, updates: int) -> tuple[float, list[Update]]:
    """So many updates together, as a share of what all reach on them alone, and what they were."""
    world, first = ranks.communicator.world, ranks.done
    seconds, found = ranks.together(updates)
    # Ranks that were parked meanwhile are told what the others did.
    shares = world.bcast([update.reviews for update in found])
    ideal = world.allreduce(ranks.alone(first, shares))
    return sum(int(s.sum()) for s in shares) / seconds / ideal, found


def measure(ranks: Ranks, options: argparse.Namespace) -> dict[str, Any]:
    """All phases; on rank 0 the figures, elsewhere nothing of use."""
    ranks.rule(balance="dynamic")
    cold = ranks.together(WARM_UP)[1]
    pairs, updates = [], []
    for _ in range(options.pairs):
        efficiency, found = paired(ranks, options.updates)
        pairs.append(efficiency)
        updates += found
    figures: dict[str, Any] = {"efficiency": median(pairs), "pairs": pairs}
    if ranks.communicator.rank == 0:
        figures |= explain(ranks.updater.coordinator.rule, updates)
        figures["reviews_per_s"] = median(
            float(u.reviews.sum()) / u.step_s for u in updates)
        figures["cold"] = updates_to_settle(cold + updates)
    if options.jumps:
        for name, factor in (("slower", 1 / SLOWER), ("back", 1.0)):
            if ranks.communicator.rank == 0:
                set_part(options.quotas[-1], options.parts[-1] * factor)
            figures[name] = updates_to_settle(ranks.together(options.jumps)[1])

    ranks.rule(balance="equal")
    figures["equal"], found = other_rule(ranks)
    # Rank 0 has seen them all: nobody is parked when shares are equal.
    ratios = proportional(sum(u.tokens for u in found), sum(u.compute_s for u in found))
    ranks.rule(shares=tuple(ratios.tolist()))
    figures["2019"] = other_rule(ranks)[0]
    return figures


def other_rule(ranks: Ranks) -> tuple[float, list[Update]]:
    """The efficiency of the shares that are set, and its updates."""
    found = [paired(ranks, RULE_UPDATES) for _ in range(RULE_PAIRS)]
    return median(efficiency for efficiency, _ in found), [u for _, some in found for u in some]


def updates_to_settle(updates: Sequence[Update]) -> int:
    """Updates before some in a row are about as fast, by the token, as the later half."""
    pace = np.array([u.step_s / u.tokens.sum() for u in updates])
    fine = pace <= SETTLED * np.median(pace[len(pace) // 2 :])
    for first in range(len(fine) - IN_A_ROW + 1):
        if fine[first : first + IN_A_ROW].all():
            return first
    return len(fine)


def explain(rule: Any, updates: Sequence[Update]) -> dict[str, Any]:
    """Ceiling, predictions and shares, from what the balancer learned."""
    assert isinstance(rule, Balancer)
    active = rule.active
    a, b = rule.fits.a[active], rule.fits.b[active]
    exchange = np.median([u.reduction_s[active] for u in updates], axis=0)
    cost = float(np.median([u.tokens.sum() for u in updates]))
    wrong = [abs(u.predicted_s / (u.compute_s - u.reduction_s).max() - 1) for u in updates]
    return {
        "ceiling": ceiling(a, b, exchange, cost), "prediction_error": median(wrong),
        "shares": np.mean([u.reviews for u in updates], axis=0).tolist(),
        "a": rule.fits.a.tolist(), "b": rule.fits.b.tolist(),
        "exchange_s": np.median([u.reduction_s for u in updates], axis=0).tolist(),
        "wait_s": np.median([u.wait_s for u in updates], axis=0).tolist(),
        "compute_s": np.median([u.compute_s for u in updates], axis=0).tolist(),
        "step_s": median(u.step_s for u in updates), "parked": int((~active).sum()),
    }


def main() -> None:
    """Measure; rank 0 prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--config", required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--pairs", type=int, required=True)
    parser.add_argument("--updates", type=int, required=True)
    parser.add_argument("--quotas", nargs="+", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", type=float, required=True)
    parser.add_argument("--jumps", type=int, default=0)
    options = parser.parse_args()
    ranks = Ranks(options)
    with ranks.communicator.together():
        # Only now: to import torch on a tenth of a core takes half a minute.
        join(options.quotas[ranks.communicator.rank])
        figures = measure(ranks, options)
    if ranks.communicator.rank == 0:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
