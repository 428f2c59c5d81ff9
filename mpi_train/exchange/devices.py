"""Device of each rank: a GPU, or the processor."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from reviews.errors import UserError

_DEVICES = re.compile(r"auto|cpu|cuda(:[0-9]+)?")
# Backends that sum tensors on GPUs.
_ON_GPUS = ("auto", "gloo", "nccl")


def check_device(name: str) -> None:
    """Raise UserError for what is no device."""
    if not _DEVICES.fullmatch(name):
        raise UserError(f"--device is {name}: give auto, cpu, cuda or cuda:N")


def visible_gpus() -> tuple[str, ...]:
    """UUIDs of the GPUs, or parts of one (MIG), that this process may use, as torch counts them.

    A launcher may show each rank one of its own, which all of them call cuda:0.
    """
    import torch  # options are read without it

    if not torch.cuda.is_available():
        return ()
    return tuple(str(torch.cuda.get_device_properties(number).uuid)
                 for number in range(torch.cuda.device_count()))


def place_among(
    rank: int, hosts: Sequence[str], seen: Sequence[tuple[str, ...]]
) -> tuple[int, int]:
    """Number of a rank among those of its host that see the same GPUs, and how many these are.

    hosts, seen: of each rank.
    """
    same = [other for other in range(len(hosts))
            if (hosts[other], seen[other]) == (hosts[rank], seen[rank])]
    return same.index(rank), len(same)


@dataclass(frozen=True)
class Gpus:
    """GPUs that a rank sees on its host, and its place among those that see the same.

    local_rank, local_size: number of the rank among these, and how many they are.
    each: true where every rank of all hosts has one for itself.
    """

    host: str
    count: int
    local_rank: int
    local_size: int
    each: bool


def choose_device(wanted: str, backend: str, gpus: Gpus) -> tuple[str, str | None]:
    """The device of a rank, as torch names it, and what keeps it from training there.

    wanted: auto takes GPUs where the backend is nccl, or is auto and every rank has a GPU of its
        own; cuda the GPU with the rank's number, in turn where there are fewer; cuda:N that one.
    backend: the one that was asked for.
    """
    if wanted == "cpu":
        return "cpu", "--backend nccl is for GPUs, and not for --device cpu" if (
            backend == "nccl") else None
    if backend == "nccl" and (gpus.count < gpus.local_size or (
            wanted.startswith("cuda:") and gpus.local_size > 1)):
        return "cpu", (f"--backend nccl needs a GPU for each of the {gpus.local_size} ranks of a "
                       f"host, and {gpus.host} has {gpus.count}: give --backend gloo")
    if wanted == "auto":
        on_gpus = backend == "nccl" or (backend == "auto" and gpus.each)
        return f"cuda:{gpus.local_rank}" if on_gpus else "cpu", None
    if backend not in _ON_GPUS:
        return "cpu", f"--device {wanted} is for the backends nccl and gloo, and not for {backend}"
    if not gpus.count:
        return "cpu", f"--device {wanted}: torch finds no GPU on {gpus.host}"
    number = int(wanted[5:] or gpus.local_rank % gpus.count)
    if number >= gpus.count:
        return "cpu", (f"--device {wanted}: torch finds {gpus.count} GPUs on {gpus.host}, "
                       "counted from 0")
    return f"cuda:{number}", None


def idle_gpus_text(hosts: list[str], idle: list[bool]) -> str | None:
    """A line about the ranks that train on a CPU beside an unused GPU, None where there is none.

    hosts, idle: of each rank.
    """
    ranks = [rank for rank, is_idle in enumerate(idle) if is_idle]
    if not ranks:
        return None
    where = ", ".join(dict.fromkeys(hosts[rank] for rank in ranks))
    several = len(ranks) > 1
    return (f"rank{'s' * several} {', '.join(map(str, ranks))} on {where} "
            f"train{'s' * (not several)} on the CPU beside an unused GPU: --device cuda takes it")
