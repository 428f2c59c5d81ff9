"""Check of a node before it trains: a matrix product on each of its devices, and a hello by MPI.

    python -m mpi_train.monitoring.node_check devices
    mpirun ... python -m mpi_train.monitoring.node_check hello

Each prints a JSON object as its last line; the status is 1 where a product is wrong.
"""

import json
import platform
import sys
import time
from collections.abc import Sequence
from typing import Any

SIZE = 2048  # rows and columns of a product
PRODUCTS = 8


def devices() -> list[dict[str, Any]]:
    """Name, teraflop/s and correctness of each GPU, or of the processor where there is none."""
    import torch

    names = [f"cuda:{number}" for number in range(torch.cuda.device_count())] or ["cpu"]
    return [_product(name) for name in names]


def _product(name: str) -> dict[str, Any]:
    """A product of a known result on one device: the sum of every row is SIZE."""
    import torch

    device = torch.device(name)
    ones = torch.ones(SIZE, SIZE, device=device)
    identity = torch.eye(SIZE, device=device)
    right = bool(torch.equal(ones @ identity, ones))
    began = time.perf_counter()
    for _ in range(PRODUCTS):
        ones = ones @ identity
    right = right and float(ones.sum(1).max()) == SIZE  # waits for the device
    seconds = time.perf_counter() - began
    shown = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {"device": name, "name": shown, "right": right,
            "teraflops": 2 * SIZE**3 * PRODUCTS / seconds / 1e12}


def hello() -> dict[str, Any]:
    """Names of the hosts of all ranks, on rank 0, and the sum of the ranks as all agree on it."""
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    hosts = world.gather(platform.node())
    total = world.allreduce(world.rank)
    return {"ranks": world.size, "hosts": hosts, "sum": total} if world.rank == 0 else {}


def main(argv: Sequence[str]) -> int:
    """Run one of the two; return the exit status."""
    if list(argv) == ["hello"]:
        if found := hello():
            print(json.dumps(found), flush=True)
        return 0
    every = devices()
    print(json.dumps(every), flush=True)
    return 0 if all(one["right"] for one in every) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
