"""Ranks of one host meet in memory that they share, and read each other's numbers there."""

from pathlib import Path

from tests.mpi_train.ranks import run_ranks

MANY = """
import itertools, os, signal
import numpy as np
from mpi4py import MPI
from mpi_train.exchange.shared_memory.all_gather import SharedMemoryAllGather
from mpi_train.exchange.shared_memory.memory import share_memory

world = MPI.COMM_WORLD
rank, everybody = world.rank, tuple(range(world.size))
board = SharedMemoryAllGather(world)
arrivals = share_memory(world, world.size * 8).view(np.int64)
draws = np.random.default_rng(rank)


def spend() -> None:
    "As much of the processor as chance wants, so that another is the last one every time."
    for _ in range(int(draws.integers(3000))):
        pass


# Nobody leaves before everybody has come.
for round in range(1, 300):
    spend()
    arrivals[rank] = round
    board.barrier(everybody)
    assert (arrivals >= round).all(), (round, arrivals)

# Everybody reads what was written for this time, not the next.
for round in range(300):
    spend()
    rows = board.all_gather(np.array([rank, round * 10.0 + rank]), everybody)
    spend()
    assert rows.tolist() == [[r, round * 10.0 + r] for r in everybody], (round, rows)

# Groups change; those that are left out go on with something else, and come back.
before = everybody
for size in range(1, world.size + 1):
    for members in itertools.combinations(everybody, size):
        if rank in before or rank in members:
            board.restart(before if rank in before else (rank,))
        if rank in members:
            for round in range(3):
                spend()
                rows = board.all_gather(np.array([round + rank / 8]), members)
                assert rows[:, 0].tolist() == [round + r / 8 for r in members]
        before = members
board.barrier(everybody)

# Who waits still hears signals.
if rank == 0:
    signal.signal(signal.SIGUSR1, lambda *_: arrivals.fill(-1))
world.Barrier()
if rank == 1:
    waiting = world.recv(source=0)
    while arrivals[0] != -1:
        os.kill(waiting, signal.SIGUSR1)
elif rank == 0:
    world.send(os.getpid(), 1)
board.barrier(everybody)
world.Barrier()
"""


def test_ranks_meet_read_each_other_and_change_groups(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(MANY)
    done = run_ranks(4, "-m", "mpi4py", tmp_path / "program.py")
    assert done.returncode == 0, done.stderr
