"""Ranks of a host add up in memory that they share, and one of each host talks to the others."""

from pathlib import Path

from tests.mpi_train.ranks import run_ranks

# Ranks 0 and 1 are a host, 2, 3 and 4 another one.
MANY = """
import numpy as np
import torch
from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.group import Group
from mpi_train.exchange.shared_memory.two_levels import PIECE

ranks = Communicator()
ranks.machines = [*"aabbb"]
ranks.connect("shm+gloo")
rank, draws = ranks.rank, np.random.default_rng(ranks.rank)
group = Group(ranks)
SIZES = (1, 7, PIECE // 4 + 5, 1000)  # the third is of several pieces
group.reserve([torch.zeros(size, dtype=torch.float64) for size in SIZES])


def spend():
    "As much of the processor as chance wants, so that another is the last one every time."
    for _ in range(int(draws.integers(1000))):
        pass


def numbers(of, seed):
    "What a rank has in an update."
    of_rank = np.random.default_rng((of, seed))
    return [torch.from_numpy(of_rank.normal(size=size)) for size in SIZES]


def check(members, seed, rounded=False):
    own, handles = numbers(rank, seed), []
    for values in own:
        spend()
        handles.append(group.all_reduce(values, rounded))
    for values, handle in zip(own, handles):
        handle.wait()
        spend()
    for values, *parts in zip(own, *(numbers(member, seed) for member in members)):
        limit = 2**-6 * len(members) if rounded else 1e-12
        assert (values - sum(parts)).abs().max() < limit, (members, seed)
    told = group.all_gather([float(sum(v.view(torch.int64).sum() % 2**50 for v in own))])
    assert len(set(told[list(members), 0])) == 1, "all ranks hold the same bits"


everybody = (0, 1, 2, 3, 4)
for seed in range(8):
    check(everybody, seed, rounded=seed % 4 == 3)

# Ranks are parked and come back: a leader, a host but for one, a host, all but one of each.
for seed, members in enumerate(
        [everybody, (0, 1, 3, 4), (0, 1, 4), (0, 1), (0,), (0, 3), everybody, (0, 2, 3, 4)], 100):
    if rank in group.ranks or rank in members:
        group.set_ranks(members)
    if rank in members:
        for turn in range(2):
            check(members, 10 * seed + turn, rounded=turn == 1)
    else:
        group.set_ranks(members)
ranks.barrier()
"""


def test_the_sum_is_that_of_all_active_ranks_and_the_same_bits_on_each(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(MANY)
    done = run_ranks(5, "-m", "mpi4py", tmp_path / "program.py")
    assert done.returncode == 0, done.stderr
