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
from mpi_train.exchange.shared_memory.memory import shared_memory
from mpi_train.exchange.shared_memory.all_gather import SharedMemoryAllGather

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
    """Some ranks of a communicator, rank 0 among them."""

    def __init__(self, communicator: Communicator) -> None:
        self._all = communicator
        self.rank, self.all_ranks = communicator.rank, communicator.size
        self.ranks = tuple(range(communicator.size))
        # Groups stay: a second one of the same ranks would find the addresses of the first.
        self._known: dict[tuple[int, ...], tuple[Any, Any]] = {}
        self._board = SharedMemoryAllGather(communicator.world) if self.shares_memory else None
        self.set_ranks(self.ranks)

    @property
    def size(self) -> int:
        """Number of ranks."""
        return len(self.ranks)

    @property
    def shares_memory(self) -> bool:
        """True when all ranks, those outside too, are to sum in memory that they share."""
        return self._all.backend == "shm" and self._all.size > 1

    def mesh(self) -> "DeviceMesh":
        """All ranks as torch's FSDP2 knows them; all ranks call this."""
        return self._all.mesh()

    def memory(self, size: int) -> Array:
        """Shared memory (size,) uint8, zeros; all ranks call this, those outside too."""
        return shared_memory(self._all.world, size)

    @property
    def polls(self) -> bool:
        """True when waiting for a sum keeps a core busy."""
        return self._all.backend == "mpi"

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
            self._known[self.ranks] = control, self._all.process_group(self.ranks)
        self._control, self._data = self._known[self.ranks]

    def barrier(self) -> None:
        """Barrier of the group; a rank that waits keeps no core busy."""
        if self._board:
            self._board.barrier(self.ranks)
        else:
            self.all_gather([0.0])

    def all_reduce(self, values: Tensor, rounded: bool = False) -> Handle:
        """Start an all-reduce: `values` become their sum over the group when the handle has been
        waited for. With nccl or gloo, they may travel rounded to bfloat16.
        """
        if rounded:
            return _RoundedSum(self._data, values, self.size)
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


class _RoundedSum:
    """A sum of numbers that travel as bfloat16, and are added up in the type they have.

    Each rank adds up one piece, and hands it out: half the bytes of a ring of float32. All ranks
    end up with the same numbers, since a rank takes its own piece rounded, too.
    """

    def __init__(self, data: Any, values: Tensor, size: int) -> None:
        self._data, self._values, self._size = data, values, size
        padded = -(-values.numel() // size) * size
        self._sent = torch.zeros(padded, dtype=torch.bfloat16, device=values.device)
        self._sent[: values.numel()] = values.view(-1)
        self._pieces = torch.empty_like(self._sent)
        self._scattered = data.alltoall_base(self._pieces, self._sent, [], [])

    def wait(self) -> None:
        """Return when the tensor holds the sum."""
        self._scattered.wait()
        own = self._pieces.view(self._size, -1).to(self._values.dtype).sum(0)
        self._data._allgather_base(self._sent, own.to(torch.bfloat16)).wait()
        self._values.view(-1).copy_(self._sent[: self._values.numel()])
