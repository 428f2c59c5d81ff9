"""Semaphores of the ranks of one host, in the memory that they share."""

import ctypes
import errno
import os
from typing import Any

import numpy as np

from mpi_train.exchange.shared_memory.memory import shared_memory

LINE = 64  # bytes of a cache line; a semaphore of POSIX fits


class Semaphores:
    """One for each pair of ranks. Who waits sleeps, and costs its core nothing.

    Args:
        world: an MPI communicator whose ranks see each other's memory, and all call this.
    """

    def __init__(self, world: Any) -> None:
        self._rank, size = world.Get_rank(), world.Get_size()
        self._memory = shared_memory(world, size * size * LINE)  # the addresses point into it
        library = ctypes.CDLL(None, use_errno=True)
        self._post, self._wait = library.sem_post, library.sem_wait
        places = self._memory.ctypes.data + np.arange(size * size).reshape(size, size) * LINE
        self._semaphores = [[ctypes.c_void_p(int(place)) for place in row] for row in places]
        for semaphore in self._semaphores[self._rank]:
            if library.sem_init(semaphore, 1, 0):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        world.Barrier()

    def tell(self, rank: int) -> None:
        """Wake a rank that waits for this one, now or later."""
        self._post(self._semaphores[self._rank][rank])

    def wait_for(self, rank: int) -> None:
        """Return when a rank has told this one something once more."""
        while self._wait(self._semaphores[rank][self._rank]):
            # A signal woke us; Python runs its handler here.
            if ctypes.get_errno() != errno.EINTR:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
