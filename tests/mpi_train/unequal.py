"""Run on 2 ranks: train twice, in equal parts and balanced, while rank 1 is four times slower.

Prints nothing; the run folders tell.
"""

import sys
import time
from typing import Any

from mpi4py import MPI

import mpi_train.update
from mpi_train.__main__ import main

SLOWER = 4


def slow_back_propagate(*arguments: Any) -> float:
    """The trainer's own, and then as long again as a slower device would have taken."""
    started = time.perf_counter()
    loss = own_back_propagate(*arguments)
    time.sleep((SLOWER - 1) * (time.perf_counter() - started))
    return loss


own_back_propagate = mpi_train.update.back_propagate
if __name__ == "__main__":
    if MPI.COMM_WORLD.Get_rank() == 1:
        mpi_train.update.back_propagate = slow_back_propagate
    store, equal, dynamic, *options = sys.argv[1:]
    for out, balance in ((equal, "equal"), (dynamic, "dynamic")):
        assert main(["--store", store, "--out", out, "--balance", balance, *options]) == 0
