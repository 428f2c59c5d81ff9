"""Collectives of the ranks that share the updates.

At first these are all ranks. A parked rank is outside: no collective here waits for it.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.rounded_sum import RoundedSum
from mpi_train.exchange.shared_memory.all_gather import SharedMemoryAllGather
from mpi_train.exchange.shared_memory.memory import shared_memory
from mpi_train.exchange.shared_memory.two_levels import TwoLevels

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

Array = np.ndarray

SPIN_S = 2e-4  # MPI is asked without a pause for so long,
NAP_S = 1e-4  # and then with pauses: who waits leaves the core to the others


class Handle(Protocol):
    """A reduction under way."""

    def wait(self) -> Any:
        """Return when the tensor holds the sum."""
        ...


class Group:
    """Some ranks of a communicator, rank 0 among them.

    Args:
        backend: of the sums; empty: the communicator's.
    """

    def __init__(self, communicator: Communicator, backend: str = "") -> None:
        self._all, self._backend = communicator, backend or communicator.backend
        self.rank, self.all_ranks = communicator.rank, communicator.size
        self.ranks = tuple(range(communicator.size))
        self._known: dict[tuple[int, ...], Any] = {}
        self._board = SharedMemoryAllGather(communicator.world) if self.shares_memory else None
        several = self._backend == "shm+gloo" and communicator.size > 1
        self._levels = TwoLevels(communicator) if several else None
        self.set_ranks(self.ranks)

    @property
    def size(self) -> int:
        """Number of ranks."""
        return len(self.ranks)

    @property
    def shares_memory(self) -> bool:
        """True when all ranks, those outside too, are to sum in memory that they share."""
        return self._backend == "shm" and self._all.size > 1

    def mesh(self) -> "DeviceMesh":
        """All ranks as torch's FSDP2 knows them; all ranks call this."""
        return self._all.mesh()

    def memory(self, size: int) -> Array:
        """Shared memory (size,) uint8, zeros; all ranks call this, those outside too."""
        return shared_memory(self._all.world, size)

    def reserve(self, tensors: Sequence[Tensor]) -> None:
        """Make room for sums of these at the same time, or of parts of them; all ranks call this,
        those outside too, and no sum is under way."""
        if self._levels:
            self._levels.reserve(sum(tensor.nbytes for tensor in tensors), len(tensors))

    @property
    def polls(self) -> bool:
        """True when waiting for a sum keeps a core busy."""
        return self._backend == "mpi"

    def set_ranks(self, ranks: Sequence[int]) -> None:
        """Change the members (ascending ranks); the new and the former ones call this."""
        if self._board:
            self._board.restart(self.ranks if self.rank in self.ranks else (self.rank,))
        self.ranks = tuple(ranks)
        if self.rank not in self.ranks:
            return
        if self.ranks not in self._known:
            world = self._all.world
            control = world.Create_group(world.Get_group().Incl(self.ranks))
            self._known[self.ranks] = control
        self._control = self._known[self.ranks]
        if self._levels:
            self._levels.set_ranks(self.ranks)
        else:
            self._data = self._all.process_group(self.ranks)

    def barrier(self) -> None:
        """Barrier of the group; a rank that waits keeps no core busy."""
        if self._board:
            self._board.barrier(self.ranks)
        else:
            self.all_gather([0.0])

    def all_reduce(self, values: Tensor, rounded: bool = False) -> Handle:
        """Start an all-reduce: `values` become their sum over the group when the handle has been
        waited for, after those that were started before. With nccl or gloo, they may travel rounded
        to bfloat16.
        """
        if self._levels:
            return self._levels.all_reduce(values, rounded)
        if rounded:
            return RoundedSum(self._data, values, self.size, on_cpu=self._backend == "gloo")
        if self.polls:
            from mpi4py import MPI

            return _Request(self._control.Iallreduce(MPI.IN_PLACE, values.numpy()))
        handle: Handle = self._data.allreduce([values])
        return handle

    def all_gather(self, values: Sequence[float]) -> Array:
        """All-gather of a few numbers of each rank.

        Returns:
            (all ranks, len(values)) float64; 0 for ranks outside.
        """
        own = np.array(values, np.float64)
        if self._board:
            members = self._board.all_gather(own, self.ranks)
        else:
            members = np.empty((self.size, len(own)), np.float64)
            patiently(self._control.Iallgather(own, members))
        everyone = np.zeros((self._all.size, len(own)), np.float64)
        everyone[list(self.ranks)] = members
        return everyone

    def all_gather_v(self, values: Tensor) -> list[Tensor]:
        """All-gather of (n_r, ...) tensors, whose n_r may differ."""
        own = values.detach().cpu().contiguous()
        rows = self._control.allgather(len(own))
        every = torch.empty((sum(rows), *own.shape[1:]), dtype=own.dtype)
        width = int(np.prod(own.shape[1:]))
        counts = [n * width for n in rows]
        patiently(self._control.Iallgatherv(own.numpy(), (every.numpy(), counts)))
        return list(every.to(values.device).split(rows))

    def broadcast(self, values: Array) -> Array:
        """Broadcast from rank 0, into arrays of the same shape."""
        patiently(self._control.Ibcast(values))
        return values

    def broadcast_tensor(self, values: Tensor) -> None:
        """Broadcast from rank 0, into tensors of the same shape."""
        copy = values.detach().cpu().contiguous()
        self._control.Bcast(copy.numpy())
        values.data.copy_(copy)


def patiently(request: Any) -> None:
    """Wait for an MPI request, and soon leave the core to others: MPI itself would keep it busy."""
    nap_from = time.perf_counter() + SPIN_S
    while not request.Test():
        if time.perf_counter() > nap_from:
            time.sleep(NAP_S)


class _Request:
    """An MPI request with the interface of torch's handles."""

    def __init__(self, request: Any) -> None:
        self._request = request

    def wait(self) -> None:
        patiently(self._request)
