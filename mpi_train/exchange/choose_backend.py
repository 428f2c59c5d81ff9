"""Choice of the backend by a measurement, where several would do (`--backend auto`)."""

import math
import time
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from models.nets.bag import Table
from mpi_train.configuration.config import TrainingConfig
from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.group import Group
from reviews.options import replace_flat

LIMIT_S = 1.0  # of the whole measurement, about
LEAST, MOST = 1 << 14, 1 << 22  # numbers of a message
BUCKET = 1 << 18  # numbers that are summed at once
# MPI sends while it is asked for, and so, unlike the others, not during the backward pass: what it
# takes has to be so much less.
MPI_FACTOR = 1.25


def settle_backend(
    config: TrainingConfig, communicator: Communicator, model: nn.Module
) -> tuple[TrainingConfig, str]:
    """The configuration with the fastest of the backends that would do, and a line about them; as
    it was, and an empty one, where there was nothing to choose. All ranks call this.
    """
    rounded = config.exchange.exchange != "full"
    candidates = [name for name in communicator.candidates if not (rounded and name == "mpi")]
    if len(candidates) < 2:
        return config, ""
    tables = {module.weight for module in model.modules() if isinstance(module, Table)}
    numbers = sum(p.numel() for p in model.parameters() if p.requires_grad and p not in tables)
    size, seconds = measure(
        {name: Group(communicator, name) for name in candidates}, communicator, numbers)
    communicator.backend = fastest(seconds)
    times = ", ".join(f"{1e3 * found:.1f} ms by {name}" for name, found in seconds.items())
    line = (f"a sum of {4 * size / 1e6:.2g} MB over all ranks took {times}: --backend auto is "
            f"{communicator.backend} from now on")
    return replace_flat(config, backend=communicator.backend), line


def fastest(seconds: Mapping[str, float]) -> str:
    """The backend to choose from what a sum took by each."""
    return min(seconds, key=lambda name: seconds[name] * (MPI_FACTOR if name == "mpi" else 1.0))


def measure(
    groups: Mapping[str, Group], communicator: Communicator, numbers: int
) -> tuple[int, dict[str, float]]:
    """Time sums of messages up to so many numbers, larger and larger, for about a second.

    Returns:
        numbers of the largest message, and the least seconds that it took by each backend: the same
        on all ranks, and those of the last rank.
    """
    most = max(min(numbers, MOST), 1)
    values = torch.zeros(most)
    buckets = values.split(BUCKET)
    for group in groups.values():
        group.reserve(buckets)
    size, least, spent = min(LEAST, most), [math.inf] * len(groups), 0.0
    for group in groups.values():
        sum_seconds(group, values[:size])  # MPI connects only now
    while True:
        own = [sum_seconds(group, values[:size]) for group in groups.values()]
        found = np.max(communicator.world.allgather(own), axis=0).tolist()
        least = [min(pair) for pair in zip(least, found, strict=True)]
        spent += sum(found)
        growth = min(most / size, 2.0)
        if spent + growth * sum(found) > LIMIT_S:
            return size, dict(zip(groups, least, strict=True))
        if growth > 1:
            size, least = min(2 * size, most), [math.inf] * len(groups)


def sum_seconds(group: Group, values: torch.Tensor) -> float:
    """Seconds until a message is summed over a group whose ranks all begin now; it is sent as the
    buckets of a gradient are.
    """
    group.barrier()
    started = time.perf_counter()
    for handle in [group.all_reduce(bucket) for bucket in values.split(BUCKET)]:
        handle.wait()
    return time.perf_counter() - started
