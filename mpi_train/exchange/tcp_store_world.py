"""A world without MPI: the ranks of torchrun, or of srun where it brings no PMI.

It speaks as much of mpi4py's language as the trainer does. Collectives go over gloo; messages
that nobody waits for are entries in torch's key-value store, which rank 0 or torchrun serves.
"""

import os
import platform
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import torch
import torch.distributed
from torch import Tensor

from mpi_train.exchange.addresses import interface_to, network_stack
from mpi_train.exchange.message_codec import from_bytes, to_bytes
from mpi_train.exchange.process_groups import make_process_group

Array = np.ndarray

# Where the ranks of a Slurm step meet, by job and step: below the ports that Linux gives to
# connections (from 32768 on).
FIRST_PORT, PORTS = 12_000, 20_000


@dataclass(frozen=True)
class Rendezvous:
    """Rank and size of this process, and address of the key-value store."""

    rank: int
    size: int
    host: str
    port: int
    served: bool  # by the launcher; else by rank 0
    attempt: str = "0"  # of the launcher, which starts all ranks anew when one fails


def find_rendezvous(environment: Mapping[str, str]) -> Rendezvous | None:
    """Rendezvous that torchrun or srun names in the environment; None where MPI does, or nobody."""
    if any(name in environment for name in ("OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK")):
        return None
    if "TORCHELASTIC_RUN_ID" in environment:
        return Rendezvous(
            int(environment["RANK"]), int(environment["WORLD_SIZE"]), environment["MASTER_ADDR"],
            int(environment["MASTER_PORT"]),
            environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
            environment.get("TORCHELASTIC_RESTART_COUNT", "0"))
    size = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
    if size == 1 or "SLURM_PROCID" not in environment:
        return None
    number = int(environment["SLURM_JOB_ID"]) * 31 + int(environment.get("SLURM_STEP_ID", "0"))
    return Rendezvous(int(environment["SLURM_PROCID"]), size,
                   first_host(environment["SLURM_STEP_NODELIST"]), FIRST_PORT + number % PORTS,
                   served=False)


def first_host(nodes: str) -> str:
    """The first of Slurm's node list: that of gpu[03-07,12],login is gpu03."""
    found = re.match(r"(?:[^\[,]|\[[^\]]*\])+", nodes)
    assert found is not None, nodes
    return re.sub(r"\[(\d+)[^\]]*\]", r"\1", found[0])


class Done:
    """A request that has been fulfilled."""

    def Test(self) -> bool:
        return True

    def wait(self) -> None:
        """Nothing to wait for."""


class TcpStoreWorld:
    """All ranks, or some of them; methods are those of mpi4py, as far as they are used."""

    def __init__(self, store: Any, ranks: Sequence[int], own: int) -> None:
        self._store = torch.distributed.PrefixStore(",".join(map(str, ranks)), store)
        self._ranks, self._own = tuple(ranks), own
        self._rank, self._size = self._ranks.index(own), len(ranks)
        self._gloo = make_process_group(
            "ProcessGroupGloo", torch.distributed.PrefixStore("gloo", self._store), self._rank,
            self._size)
        self._counts: dict[tuple[int, int, int], int] = {}  # messages of (source, target, tag)
        self._made: Counter[tuple[int, ...]] = Counter()  # groups of these ranks

    @classmethod
    def join(cls, place: Rendezvous) -> "TcpStoreWorld":
        """Meet the other ranks."""
        serves = place.rank == 0 and not place.served
        # A store of the launcher's still has the addresses of an earlier attempt.
        store = torch.distributed.PrefixStore(
            f"reviewmill/{place.attempt}", torch.distributed.TCPStore(
                place.host, place.port, place.size, serves, wait_for_workers=False))
        # Host names often resolve to an address that the machine does not listen on.
        stacks = [network_stack(platform.node()).encode()]
        store.set(f"network/{place.rank}", stacks[0])
        stacks += [store.get(f"network/{rank}") for rank in range(place.size)]
        name = "lo" if len(set(stacks)) == 1 else interface_to(place.host, place.port)
        if name:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        return cls(store, range(place.size), place.rank)

    def Get_rank(self) -> int:
        return self._rank

    def Get_size(self) -> int:
        return self._size

    def Get_group(self) -> "TcpStoreWorld":
        return self

    def Incl(self, ranks: Sequence[int]) -> tuple[int, ...]:
        return tuple(ranks)

    def Create_group(self, ranks: tuple[int, ...]) -> "TcpStoreWorld":
        # A second group of the same ranks must not find the addresses of the first.
        self._made[ranks] += 1
        store = torch.distributed.PrefixStore(str(self._made[ranks]), self._store)
        return TcpStoreWorld(store, ranks, self._own)

    def Abort(self, status: int) -> NoReturn:
        """End this rank at once; torchrun and srun then end the others."""
        sys.stdout.flush()
        os._exit(status)

    def Barrier(self) -> None:
        self._gloo.barrier().wait()

    def allgather(self, value: Any) -> list[Any]:
        data = np.frombuffer(to_bytes(value), np.uint8)
        lengths = np.empty(self._size, np.int64)
        self.Iallgather(np.array([len(data)]), lengths)
        every = np.empty(int(lengths.sum()), np.uint8)
        self.Iallgatherv(data, (every, lengths.tolist()))
        return [from_bytes(part.tobytes()) for part in np.split(every, lengths.cumsum()[:-1])]

    def gather(self, value: Any) -> list[Any] | None:
        every = self.allgather(value)
        return every if self._rank == 0 else None

    def bcast(self, value: Any) -> Any:
        data = np.frombuffer(to_bytes(value if self._rank == 0 else None), np.uint8).copy()
        size = np.array([len(data)])
        self.Ibcast(size)
        if self._rank:
            data = np.empty(int(size[0]), np.uint8)
        self.Ibcast(data)
        return value if self._rank == 0 else from_bytes(data.tobytes())

    def Gatherv(self, own: Array, into: tuple[Array, list[int]] | None) -> None:
        every = self.allgather(own)
        if into is not None:
            into[0][:] = np.concatenate(every)

    def Iallgather(self, own: Array, into: Array) -> Done:
        return self.Iallgatherv(own.ravel(), (into.reshape(-1), [own.size] * self._size))

    def Iallgatherv(self, own: Array, into: tuple[Array, list[int]]) -> Done:
        every, counts = into
        flat = every.reshape(-1)
        padded = torch.zeros(max(max(counts), 1), dtype=_tensor(flat).dtype)
        padded[: own.size] = _tensor(own.reshape(-1))
        parts = [torch.empty_like(padded) for _ in counts]
        self._gloo.allgather([parts], [padded]).wait()
        flat[:] = torch.cat([p[:n] for p, n in zip(parts, counts, strict=True)]).numpy()
        return Done()

    def Ibcast(self, values: Array) -> Done:
        self._gloo.broadcast(torch.from_numpy(values), 0).wait()
        return Done()

    def Bcast(self, values: Array) -> None:
        self.Ibcast(values)

    def isend(self, value: Any, target: int, tag: int) -> Done:
        self._store.set(self._next(self._rank, target, tag), to_bytes(value))
        self._counts[self._rank, target, tag] += 1
        return Done()

    def Iprobe(self, source: int, tag: int) -> bool:
        return bool(self._store.check([self._next(source, self._rank, tag)]))

    def recv(self, source: int, tag: int) -> Any:
        key = self._next(source, self._rank, tag)
        value = from_bytes(self._store.get(key))
        self._store.delete_key(key)
        self._counts[source, self._rank, tag] += 1
        return value

    def _next(self, source: int, target: int, tag: int) -> str:
        count = self._counts.setdefault((source, target, tag), 0)
        return f"message/{tag}/{source}/{target}/{count}"


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(values if values.flags.writeable else values.copy())
