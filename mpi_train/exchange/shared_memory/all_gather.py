"""Barrier and all-gather of the ranks of one host, in the memory that they share."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mpi_train.exchange.shared_memory.memory import shared_memory
from mpi_train.exchange.shared_memory.semaphores import Semaphores

Array = np.ndarray

WIDTH = 16  # numbers that a rank can show
PAGES = 2


class Barrier:
    """Barrier of some of the ranks, by semaphores.

    In round k each member tells the one 2^k places on, and waits for the one 2^k places back;
    after log2 of the members, everybody has heard of everybody (the dissemination barrier:
    Hensgen, Finkel and Manber 1988).

    Args:
        world: an MPI communicator whose ranks see each other's memory, and all call this.
    """

    def __init__(self, world: Any) -> None:
        self._rank, self._semaphores = world.Get_rank(), Semaphores(world)

    def wait(self, members: Sequence[int]) -> None:
        """Return when all members (ascending, this rank among them) have called this."""
        for before, after in _rounds(members, self._rank):
            self._semaphores.tell(after)
            self._semaphores.wait_for(before)


def _rounds(members: Sequence[int], own: int) -> Iterator[tuple[int, int]]:
    """Whom to wait for and whom to tell in each round."""
    place, distance = members.index(own), 1
    while distance < len(members):
        yield members[place - distance], members[(place + distance) % len(members)]
        distance *= 2


class SharedMemoryAllGather:
    """Numbers that each rank shows to the others.

    There are two pages in turns: who writes the next one may be ahead of who reads this one, but
    not by more, since nobody passes the barrier before it.
    """

    def __init__(self, world: Any) -> None:
        self._rank, size = world.Get_rank(), world.Get_size()
        self._barrier = Barrier(world)
        memory = shared_memory(world, PAGES * size * WIDTH * 8)
        self._pages = memory.view(np.float64).reshape(PAGES, size, WIDTH)
        self._page = 0

    def barrier(self, members: Sequence[int]) -> None:
        """Barrier of the members."""
        self._barrier.wait(members)

    def all_gather(self, values: Array, members: Sequence[int]) -> Array:
        """All-gather of (n,) numbers: (members, n) float64."""
        page = self._pages[self._page]
        page[self._rank, : len(values)] = values
        self.barrier(members)
        self._page = (self._page + 1) % PAGES
        shown: Array = page[list(members), : len(values)]
        return shown

    def restart(self, members: Sequence[int]) -> None:
        """Start again, perhaps with other members, once these have read the last page."""
        self.barrier(members)
        self._page = 0
