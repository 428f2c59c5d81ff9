"""The ranks: who and where they are, how they start, agree and end.

mpi4py carries the control plane, or under torchrun gloo (`mpi_train.exchange.tcp_store_world`).
Gradients go by torch.distributed (nccl, gloo), by MPI, or stay in memory that all ranks see (shm),
or the ranks of each host (shm+gloo): `mpi_train.exchange.group`,
`mpi_train.exchange.shared_gradients`.
"""

import contextlib
import os
import platform
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
import torch.distributed

from mpi_train.exchange.addresses import find_interfaces
from mpi_train.exchange.devices import (
    Gpus,
    choose_device,
    idle_gpus_text,
    place_among,
    visible_gpus,
)
from mpi_train.exchange.process_groups import make_process_group
from mpi_train.exchange.shared_memory.memory import share_memory
from mpi_train.exchange.tcp_store_world import TcpStoreWorld, find_rendezvous
from mpi_train.exchange.watchdog import Watchdog, own_identity
from reviews.errors import UserError
from reviews.runtime.lifeline import FAILED, Lifeline

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

T = TypeVar("T")
Array = np.ndarray
TRANSPORTS = "OMPI_MCA_btl"
CLOSING_S = 2.0  # in which a process whose connections are closed has ended


class Stopped(Exception):
    """An end that all ranks come to together, with an exit status."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


def _find_world() -> Any:
    """The ranks that this process was started with; UserError where it finds others."""
    rendezvous = find_rendezvous(os.environ)
    if rendezvous is not None:
        return TcpStoreWorld.join(rendezvous)
    # Of Open MPI's transports, training needs none of one-sided access: ofi sleeps for a second
    # when it is closed, and uct may spin for ever where there is no RDMA (open-mpi/ompi#14383).
    os.environ.setdefault(TRANSPORTS, "^ofi,uct")
    from mpi4py import MPI  # which starts MPI

    check_size(os.environ, MPI.COMM_WORLD.Get_size())
    return MPI.COMM_WORLD


def check_size(environment: Mapping[str, str], size: int) -> None:
    """Raise UserError where the launcher started another number of ranks than MPI found.

    The MPI of mpi4py knows nothing of the launcher of another MPI: every process would take itself
    for a run of one rank, and all would write into the same folder. Only the innermost launcher
    counts: inside of it, variables of an outer one (Slurm's under mpirun) are still there.
    """
    launchers = {"OMPI_COMM_WORLD_SIZE": "Open MPI's mpirun", "PMI_SIZE": "a launcher with PMI",
                 "SLURM_STEP_NUM_TASKS": "srun"}
    for name, launcher in launchers.items():
        if name in environment:
            if int(environment[name]) != size:
                raise UserError(
                    f"{launcher} started {environment[name]} ranks, but the MPI of mpi4py finds "
                    f"{size}: it is another MPI. Give `reviewmill train --ranks`, torchrun, or "
                    "srun --mpi=pmix with the Open MPI of mpi4py")
            return


class Communicator:
    """All ranks of a start; `python -m mpi_train` without mpirun is one rank.

    Attributes:
        machines: of each rank, a name: ranks of the same may see each other's memory.
        backend: of the exchange of gradients, after `connect`.
        candidates: backends that would do where `backend` was left open, itself the first.
    """

    _gloo_interface = ""  # what a connection of this process has set for gloo

    def __init__(self, world: Any = None, lifeline: Lifeline | None = None) -> None:
        self.lifeline = lifeline or Lifeline({}, platform.node())
        self.world = _find_world() if world is None else world
        self.rank: int = self.world.Get_rank()
        self.size: int = self.world.Get_size()
        processes = self.world.allgather(own_identity(platform.node()))
        self.watchdog = Watchdog(processes, self.rank, self.lifeline)
        self.hosts: list[str] = [process.host for process in processes]
        # Two hosts may have one name, and containers of one machine several.
        boots = [process.boot for process in processes]
        self._boot = mine = boots[self.rank]
        self.local_rank = boots[: self.rank].count(mine)
        self.local_size = boots.count(mine)
        self.machines: list[str] = [process.machine for process in processes]
        cores = self.world.allgather(sorted(os.sched_getaffinity(0)))
        # Ranks of this host that may run on the same cores as this one, itself included.
        self.core_sharers = sum(boot == mine and bool({*cores[self.rank]} & {*theirs})
                                for boot, theirs in zip(boots, cores, strict=True))
        self.backend = "none"
        self.candidates: tuple[str, ...] = ()
        self._store: Any = None
        self._groups: dict[tuple[int, ...], Any] = {}
        self._has_mesh = False
        self.device = torch.device("cpu")
        self.unused_gpus: str | None = None
        self._agreed = False  # all ranks know of the exception on its way

    def from_root(self, work: Callable[[], T]) -> T:
        """Result of `work` on rank 0, broadcast to every rank.

        If it raises UserError or SystemExit, all ranks end with the same status, and only
        rank 0 has something to say.
        """
        problem: BaseException | None = None
        result, status = None, 0
        if self.rank == 0:
            try:
                result = work()
            except UserError as error:
                problem, status = error, 2
            except SystemExit as error:
                problem, status = error, error.code if isinstance(error.code, int) else 1
        self._agreed, status, result = self.world.bcast((problem is not None, status, result))
        if problem is not None:
            raise problem
        if self._agreed:
            raise SystemExit(status)
        return result  # type: ignore[return-value]

    def agree(self, problem: str | None) -> None:
        """End all ranks with the first problem that any of them has, told by rank 0."""
        problems = [text for text in self.world.allgather(problem) if text]

        def tell() -> None:
            if problems:
                raise UserError(problems[0])

        self.from_root(tell)

    def agree_on(self, values: Mapping[str, str]) -> None:
        """End all ranks with a UserError that names the host where a value is not that of rank 0.
        """
        every = self.world.allgather(dict(values))
        different = [
            f"the {name} of {self.hosts[rank]} (rank {rank}) is {found.get(name)}, and that of "
            f"{self.hosts[0]} (rank 0) is {value}: all ranks need the same"
            for rank, found in enumerate(every) for name, value in every[0].items()
            if found.get(name) != value
        ]
        self.agree(different[0] if different else None)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Inside, an exception or the end of one rank ends all of them: none is left waiting.

        All ranks come to the end of the block together, by its last line or by an exception that
        all of them agreed on.
        """
        if self.size == 1:
            yield
            return
        self.watchdog.start()
        previous = threading.excepthook

        def fail(failure: threading.ExceptHookArgs) -> None:
            if failure.exc_value is not None:
                self._abort(failure.exc_value)

        threading.excepthook = fail
        try:
            yield
            self.barrier()
        except BaseException as error:
            if not self._agreed and not isinstance(error, Stopped):
                self._abort(error)
            raise
        finally:
            threading.excepthook = previous
            self.watchdog.stop()

    def _abort(self, error: BaseException) -> None:
        expected = isinstance(error, UserError)
        self.lifeline.say(FAILED)
        with contextlib.suppress(OSError):  # the reader of standard error may be gone
            if expected:
                print(f"rank {self.rank}: {error}", file=sys.stderr, flush=True)
            else:
                print(f"rank {self.rank} of {self.size} failed:", file=sys.stderr)
                traceback.print_exception(error)
                sys.stderr.flush()
                # A killed process closes its connections a moment before it is gone.
                if gone := self.watchdog.lost(CLOSING_S if "onnection" in str(error) else 0):
                    print(f"rank {self.rank} ends: {gone}", file=sys.stderr, flush=True)
        self.world.Abort(2 if expected else 1)

    def choose_device(self, device: str, backend: str = "auto") -> None:
        """Set the device of this rank: auto, cpu, cuda or cuda:N, for a backend that may be auto.

        `unused_gpus` then has a line about ranks that leave a GPU unused without being asked to.
        """
        seen = visible_gpus()
        count = len(seen)
        boots, gpus = zip(*self.world.allgather((self._boot, seen)), strict=True)
        number, sharers = place_among(self.rank, boots, gpus)
        each = all(self.world.allgather(count >= sharers))
        found, problem = choose_device(device, backend, Gpus(
            platform.node(), count, number, sharers, each))
        self.agree(problem)
        self.device = torch.device(found)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        idle = device != "cpu" and count > 0 and self.device.type == "cpu"
        self.unused_gpus = idle_gpus_text(self.hosts, self.world.allgather(idle))

    def connect(
        self, backend: str, interface: str = "", device: str = "auto", memory: bool = True
    ) -> None:
        """Choose the device and set up the exchange of gradients, over the network interface of
        that name, or one by which all hosts reach each other.

        memory: whether auto may choose memory that ranks share, and MPI.
        """
        self.choose_device(device, backend)
        if backend == "mpi" and isinstance(self.world, TcpStoreWorld):
            self.agree("--backend mpi needs mpirun, or srun --mpi=pmix: give --backend gloo")
        if backend == "shm" and not self._see_each_other():
            self.agree("--backend shm is for ranks that see each other's memory, on one host: "
                       "give --backend gloo")
        if backend == "shm+gloo" and not self._see_neighbours():
            self.agree("--backend shm+gloo is for ranks that see the memory of others of their "
                       "host: give --backend gloo")
        self.candidates = (backend,) if backend != "auto" else self._find_candidates(memory)
        self.backend = self.candidates[0]
        if self.size > 1 and {*self.candidates} & {"gloo", "nccl", "shm+gloo"}:
            self._store = self._start_store(interface)

    def _find_candidates(self, memory: bool) -> tuple[str, ...]:
        """Backends that auto may choose from here."""
        on_cpu = self.device.type == "cpu"
        if on_cpu and memory and self.size > 1 and self._see_each_other():
            return ("shm",)
        if self._have_gpus_of_their_own():
            return ("nccl",)
        if not (on_cpu and memory) or len({*self.machines}) == 1:
            return ("gloo",)
        several = len({*self.machines}) < self.size and self._see_neighbours()
        return ("gloo", *["shm+gloo"] * several,
                *["mpi"] * (not isinstance(self.world, TcpStoreWorld)))

    def neighbours(self) -> list[int]:
        """Ranks of this one's machine, itself among them."""
        return [rank for rank, machine in enumerate(self.machines)
                if machine == self.machines[self.rank]]

    def _have_gpus_of_their_own(self) -> bool:
        """True when all ranks are on GPUs, and no two on one."""
        gpu = visible_gpus()[self.device.index] if self.device.type == "cuda" else ""
        found = self.world.allgather((self._boot, gpu))
        return all(gpu for _, gpu in found) and len({*found}) == len(found)

    def _see_each_other(self) -> bool:
        """True when all ranks can share memory."""
        return share_memory(self.world, 1) is not None

    def _see_neighbours(self) -> bool:
        """True when on each machine all ranks can share memory."""
        neighbours = self.world.Create_group(self.world.Get_group().Incl(self.neighbours()))
        return all(self.world.allgather(share_memory(neighbours, 1) is not None))

    def _start_store(self, interface: str) -> Any:
        """Store in which ranks find each other's addresses; it listens at one address alone."""
        users = os.environ.get("GLOO_SOCKET_IFNAME", "")
        if users == Communicator._gloo_interface:  # by an earlier connection, and not the user's
            users = ""
        found = find_interfaces(self.world, self.hosts[self.rank], interface or users)
        Communicator._gloo_interface = found[self.rank].name
        os.environ["GLOO_SOCKET_IFNAME"] = found[self.rank].name
        if not found[self.rank].is_loopback:
            os.environ.setdefault("NCCL_SOCKET_IFNAME", f"={found[self.rank].name}")
        host, port, store = found[0].address, 0, None
        if self.rank == 0:
            listening = socket.create_server((host, 0))
            port = listening.getsockname()[1]
            store = torch.distributed.TCPStore(
                host, port, is_master=True, wait_for_workers=False,
                master_listen_fd=listening.detach())
        port = self.world.bcast(port)
        return store or torch.distributed.TCPStore(host, port, is_master=False)

    def process_group(self, ranks: Sequence[int]) -> Any:
        """Process group of torch over some ranks, all of which call this; None where MPI or shared
        memory does, and for one rank.

        Not by torch's new_group: without the ranks that are left out, it names groups differently
        on ranks that were in different groups before, and never returns. Groups stay: a second one
        of the same ranks would find the addresses of the first.
        """
        if len(ranks) == 1 or self._store is None:
            return None
        members = tuple(ranks)
        if members not in self._groups:
            kind = "ProcessGroupNCCL" if self.backend == "nccl" else "ProcessGroupGloo"
            store = torch.distributed.PrefixStore(",".join(map(str, members)), self._store)
            self._groups[members] = make_process_group(
                kind, store, members.index(self.rank), len(members))
        return self._groups[members]

    def mesh(self) -> "DeviceMesh":
        """All ranks as a mesh of torch's default group, which FSDP2 needs; `close` ends it."""
        from torch.distributed.device_mesh import DeviceMesh

        if not self._has_mesh:
            assert self._store is not None, "FSDP2 needs several ranks and gloo or nccl"
            torch.distributed.init_process_group(
                self.backend, store=torch.distributed.PrefixStore("mesh", self._store),
                rank=self.rank, world_size=self.size)
            self._has_mesh = True
        return DeviceMesh.from_group(torch.distributed.group.WORLD, self.device.type)

    def close(self) -> None:
        """End the group of `mesh`, if there is one."""
        if self._has_mesh:
            torch.distributed.destroy_process_group()
            self._has_mesh = False

    def gather_v(self, values: Array) -> Array | None:
        """The (n_r,) arrays of all ranks, one after another, on rank 0; None elsewhere."""
        counts = self.world.gather(len(values))
        everything = None
        if counts is not None:
            everything = np.empty(sum(counts), values.dtype)
        self.world.Gatherv(values, (everything, counts) if counts is not None else None)
        return everything

    def barrier(self) -> None:
        """Wait for all ranks."""
        self.world.Barrier()
