"""Run on 2 ranks, however they were started: prints what the ranks hear of each other as JSON."""

import json
import time
from typing import Any

import numpy as np
import torch

from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.group import Group
from reviews.errors import UserError

TAG, OTHER = 11, 12


def patiently(world: Any, source: int, tag: int) -> Any:
    """A message that will come."""
    while not world.Iprobe(source, tag):
        time.sleep(1e-3)
    return world.recv(source=source, tag=tag)


def refusal(ranks: Communicator) -> Any:
    """Reason for which a rank refuses MPI, if any: a sentence, or an exit status."""
    try:
        ranks.connect("mpi")
    except UserError as error:
        return str(error)
    except SystemExit as end:
        return end.code
    return None


def main() -> None:
    """Talk in every way that the trainer does."""
    ranks = Communicator()
    refused = refusal(ranks)
    ranks.connect("gloo")
    world, rank = ranks.world, ranks.rank
    heard: dict[str, Any] = {
        "ranks": (ranks.size, ranks.local_rank, ranks.local_size),
        "allgather": world.allgather({"rank": rank, "text": "x" * rank}),
        "bcast": world.bcast(f"from {rank}"),
        "gather": world.gather((rank, None)),
        "rows": None,
        "refusal": refused,
    }
    rows = ranks.gather_v(np.full(rank, rank + 0.5))
    heard["rows"] = None if rows is None else rows.tolist()
    early = world.Iprobe(0, TAG)
    ranks.barrier()
    if rank == 0:
        for number in (1, 2):
            world.isend({"call": number}, 1, TAG)
        world.isend("other", 1, OTHER)
        heard["answer"] = patiently(world, 1, TAG)
    else:
        other = patiently(world, 0, OTHER)
        calls = [patiently(world, 0, TAG) for _ in range(2)]
        world.isend((early, calls, other, bool(world.Iprobe(0, TAG))), 0, TAG).wait()
    group = Group(ranks)
    for members in ((0, 1), (0,), (0, 1)):
        group.set_ranks(members)
        if rank in members:
            told = group.broadcast(np.array([rank + 7.0, 2.0]))
            parts = group.all_gather_v(torch.full((rank, 2), float(rank)))
            summed = torch.full((3,), float(rank))
            if len(members) > 1:
                group.all_reduce(summed).wait()
            shared = torch.tensor([rank, 5])
            group.broadcast_tensor(shared)
            heard[f"group {members} {len(heard)}"] = (
                group.all_gather([rank, 1.5]).tolist(), told.tolist(),
                [part.tolist() for part in parts], summed.tolist(), shared.tolist())
        ranks.barrier()
    for machines in ("one one", "one two"):
        ranks.machines = machines.split()
        levels = Group(ranks, "shm+gloo")
        summed = torch.tensor([rank + 1.0, 2.0])
        levels.reserve([summed])
        levels.all_reduce(summed).wait()
        heard[f"on {machines}"] = (summed.tolist(), levels.all_gather([rank]).tolist())
    every = world.gather(heard)
    if every is not None:
        print(json.dumps(every))


if __name__ == "__main__":
    main()
