"""Sums in two levels: ranks of a host add up in memory that they share, and one of each host talks
to those of the others.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.rounded_sum import RoundedSum
from mpi_train.exchange.shared_memory.memory import shared_memory
from mpi_train.exchange.shared_memory.semaphores import LINE, Semaphores

Array = np.ndarray

PIECE = 1 << 20  # bytes that are added up while those before are on their way


class TwoLevels:
    """All-reduce over ranks of several hosts.

    A rank copies its numbers into a row of the memory, and goes on. The first active rank of the
    host, its leader, has a thread that adds up what is complete, in the order of the ranks, and
    sends it to the other leaders by gloo; the sum comes into a row of its own, from where all
    ranks of the host copy it. So a network carries each number once for a host and not for a rank,
    and all ranks end up with the same bits.

    Sums that are under way lie one after another in the rows, and begin at the front again when all
    of them have been waited for. All ranks start them, and wait for them, in the same order.

    Args:
        communicator: all ranks call this; those of a host see each other's memory.
    """

    def __init__(self, communicator: Communicator) -> None:
        self._all = communicator
        self._neighbours = communicator.neighbours()
        self._place = self._neighbours.index(communicator.rank)
        group = communicator.world.Get_group().Incl(self._neighbours)
        self._world = communicator.world.Create_group(group)
        self._semaphores = Semaphores(self._world)
        self._thread = ThreadPoolExecutor(1, "across hosts")
        self._rows: Array = np.zeros((0, 0), np.uint8)  # (neighbours + 1, bytes), the last the sum
        self._used, self._under_way = 0, 0  # bytes of a row, and sums
        self._members: list[int] = []  # active ranks of this host, by their places in it
        self._across: Any = None  # on a leader among several
        self._hosts = 0

    def reserve(self, size: int, sums: int) -> None:
        """Make room for so many bytes in so many sums at once; all ranks call this, and no sum is
        under way.
        """
        room = size + (sums + size // PIECE) * LINE
        room = -(-room // LINE) * LINE
        if room > self._rows.shape[1]:
            rows = len(self._neighbours) + 1
            self._rows = shared_memory(self._world, rows * room).reshape(rows, room)

    def set_ranks(self, ranks: Sequence[int]) -> None:
        """Change the active ranks (ascending), this one among them."""
        self._members = [place for place, rank in enumerate(self._neighbours) if rank in ranks]
        machines = self._all.machines
        first = {machines[rank]: rank for rank in reversed(ranks)}
        self._hosts = len(first)
        leads = self._members[0] == self._place
        self._across = self._all.process_group(sorted(first.values())) if leads else None

    def all_reduce(self, values: Tensor, rounded: bool) -> "Sums":
        """Start an all-reduce; between hosts, the numbers may travel as bfloat16."""
        parts = values.view(-1).split(PIECE // values.element_size())
        return Sums([self._start(part, rounded) for part in parts])

    def _start(self, part: Tensor, rounded: bool) -> "_Sum":
        place = slice(self._used, self._used + part.nbytes)
        rows = self._rows[:, place].view(part.numpy().dtype)
        rows[self._place] = part.numpy()
        self._used += -(-part.nbytes // LINE) * LINE
        self._under_way += 1
        leader, *others = self._members
        sent: Future[Any] | None = None
        if leader == self._place:
            sent = self._thread.submit(self._send, rows, others, rounded)
        else:
            self._semaphores.tell(leader)
        return _Sum(self, part, rows[-1], sent)

    def _send(self, rows: Array, others: Sequence[int], rounded: bool) -> Any:
        """In the leader's thread: add up, and start to send; torch's handle, if there is one."""
        for other in others:
            self._semaphores.wait_for(other)
        total = rows[-1]
        np.copyto(total, rows[self._place])
        for other in others:
            np.add(total, rows[other], out=total)
        if self._across is None:
            return None
        values = torch.from_numpy(total)
        if rounded:
            RoundedSum(self._across, values, self._hosts).wait()
            return None
        return self._across.allreduce([values])

    def finish(self, sent: "Future[Any] | None") -> None:
        """Return when the first sum that is under way is there."""
        leader, *others = self._members
        if sent is None:
            self._semaphores.wait_for(leader)
        else:
            across = sent.result()
            if across is not None:
                across.wait()
            for other in others:
                self._semaphores.tell(other)
        self._under_way -= 1
        if not self._under_way:
            self._used = 0


class _Sum:
    """One piece of a sum under way."""

    def __init__(
        self, levels: TwoLevels, part: Tensor, total: Array, sent: "Future[Any] | None"
    ) -> None:
        self._levels, self._part, self._total, self._sent = levels, part, total, sent

    def wait(self) -> None:
        """Return when the part holds the sum."""
        self._levels.finish(self._sent)
        self._part.copy_(torch.from_numpy(self._total))


class Sums:
    """The pieces of a sum under way."""

    def __init__(self, pieces: Sequence[_Sum]) -> None:
        self._pieces = pieces

    def wait(self) -> None:
        """Return when the tensor holds the sum."""
        for piece in self._pieces:
            piece.wait()
