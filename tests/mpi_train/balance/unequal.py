"""Run on 3 ranks: train in equal parts, and balanced in two precisions while ranks are slow.

Rank 1 is four times slower all the time, but for the equal parts. In two runs, rank 2 takes so
long for any update of the first two epochs that the others are better off without it. The last
run does not get a rank's times. Ranks 0 and 1 are on one host and rank 2 on another, as far as
sums in two levels go.
Prints nothing; the run folders tell.
"""

import sys
import time
from typing import Any

from mpi4py import MPI

from mpi_train.__main__ import main
from mpi_train.backward import BackPropagation
from mpi_train.balance.share_coordinator import ShareCoordinator
from mpi_train.exchange.step_report import StepReport
from tests.mpi_train.exchange.pretended import pretend_hosts

# Adam makes whole steps of what rounding leaves of a gradient that should be 0.
SGD = ["--optimizer", "sgd", "--learning-rate", "0.05"]
RUNS = {
    "equal": ["--balance", "equal", *SGD],
    "dynamic": ["--balance", "dynamic", *SGD],
    "fp64": ["--balance", "dynamic", "--precision", "fp64", "--backend", "shm+gloo"],
    "epoch": ["--balance", "epoch", *SGD],
    "capped": ["--balance", "dynamic", "--caps", "0.4,1,1", "--rebalance-every", "20"],
}
SLOWER = 4
HOLD_UP_S, HELD_UP_EPOCHS = 0.2, 2


class Slowed(BackPropagation):
    """As long again as slower devices would have taken."""

    def run(self, batch: Any, part: Any, place: Any, *rest: Any) -> float | None:
        started = time.perf_counter()
        loss = super().run(batch, part, place, *rest)
        rank = MPI.COMM_WORLD.Get_rank()
        if rank == 1:
            time.sleep((SLOWER - 1) * (time.perf_counter() - started))
        if rank == 2 and place[0] < HELD_UP_EPOCHS and name in ("dynamic", "fp64"):
            time.sleep(HOLD_UP_S)
        return loss


class Forgetful(ShareCoordinator):
    """One update of a run comes without the time of a rank."""

    def observe(self, tokens: Any, reports: StepReport) -> None:
        reports.compute_s[1] = float("nan")  # type: ignore[index]
        super().observe(tokens, reports)


if __name__ == "__main__":
    import mpi_train.replica
    import mpi_train.update

    pretend_hosts()
    store, folder, *options = sys.argv[1:]
    for name, own in RUNS.items():
        mpi_train.replica.BackPropagation = BackPropagation if name == "equal" else Slowed  # type: ignore[misc]
        assert main(["--store", store, "--out", f"{folder}/{name}", *own, *options]) == 0
    mpi_train.update.ShareCoordinator = Forgetful  # type: ignore[misc]
    assert main(["--store", store, "--out", f"{folder}/no-time", *options]) == 3
