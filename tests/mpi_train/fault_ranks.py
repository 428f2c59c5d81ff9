"""A training run of which one rank fails: python fault_ranks.py POINT KIND RANK ARGUMENTS...

KIND is `kill`, `oom`, `nan` (in the gradient, at the point `backward`), or the name of a built-in
exception.
"""

import builtins
import math
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import mpi_train.__main__ as command  # first, as it leaves out parts of torch
from mpi_train import checkpoint, replica, train
from mpi_train.backward import BackPropagation
from mpi_train.data import BatchReader
from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.gradient_buckets import GradientBuckets
from mpi_train.exchange.shared_gradients import SharedGradients
from mpi_train.exchange.shared_memory.two_levels import TwoLevels
from mpi_train.replica import Replica
from tests.mpi_train.exchange.pretended import pretend_hosts

POINTS: dict[str, tuple[list[Any], str]] = {
    "connect": ([Communicator], "connect"),
    "build": ([replica], "build"),
    "read": ([BatchReader], "batch"),
    "forward": ([BackPropagation], "_micro_batch"),
    "backward": ([BackPropagation], "run"),
    "exchange": ([SharedGradients, GradientBuckets], "finish"),
    "across": ([TwoLevels], "_send"),  # in the thread of a host's leader
    "step": ([Replica], "step"),
    "validate": ([train], "validate"),
    "checkpoint": ([checkpoint], "_write"),
}
CALLS_BEFORE = 2  # that go well; of a point that comes once, none


def failing(work: Callable[..., Any], kind: str, calls_before: int) -> Callable[..., Any]:
    calls = 0

    def fail(*args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls <= calls_before:
            return work(*args, **named)
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "nan":
            loss = work(*args, **named)
            next(args[0]._model.parameters()).grad.view(-1)[-1] = math.nan
            return loss
        if kind == "oom":
            from torch import OutOfMemoryError

            raise OutOfMemoryError("no memory is left")
        raise getattr(builtins, kind)("injected")

    return fail


def main() -> int:
    point, kind, rank, *arguments = sys.argv[1:]
    own = os.environ.get("OMPI_COMM_WORLD_RANK", os.environ.get("RANK", "0"))
    if "--backend=shm+gloo" in arguments:
        pretend_hosts()
    if own == rank:
        places, name = POINTS[point]
        repeated = ("read", "forward", "backward", "exchange", "across", "step")
        calls = CALLS_BEFORE if point in repeated else 0
        for place in places:
            setattr(place, name, failing(getattr(place, name), kind, calls))
    return command.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
