"""One rank of `reviewmill bench balance --ddp`: a plain DDP script, together and alone, in turns.

The script is balanced as docs/balance-your-own.md says. Alone, each rank trains a copy of its
model on the same parts of the same batches without DDP, all at the same time.
"""

import argparse
import copy
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import torch
import torch.distributed as dist
from mpi4py import MPI
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.throttle import join
from mpi_train.balance.water_filling import whole_shares
from mpi_train.ddp import BalancedBatches, time_and_sum
from mpi_train.exchange.process_groups import leave
from mpi_train.exchange.process_setup import prepare_process


def connect() -> None:
    """torch's process group of the ranks that mpirun started."""
    world = MPI.COMM_WORLD
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    server = dist.TCPStore("127.0.0.1", 0, is_master=True,
                           wait_for_workers=False) if world.rank == 0 else None
    port = world.bcast(server.port if server else None)
    store = server or dist.TCPStore("127.0.0.1", port, is_master=False)
    dist.init_process_group("gloo", store=store, rank=world.rank, world_size=world.size)


class Recorded(BalancedBatches):
    """Remembers the parts of the last epoch."""

    def __iter__(self) -> Iterator[list[int]]:
        self.parts: list[list[int]] = []
        for part in super().__iter__():
            self.parts.append(part)
            yield part


class Script:
    """Script of a user, with the balancer in it."""

    def __init__(self, batch_size: int, updates: int) -> None:
        torch.manual_seed(0)
        images = torch.randn(batch_size * updates, 1, 28, 28)
        labels = (images.mean((1, 2, 3)) > 0).long()
        self.dataset = TensorDataset(images, labels)
        network = nn.Sequential(
            nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 12 * 12, 10))
        self.copy = copy.deepcopy(network)
        self.model = DistributedDataParallel(network)
        self.balancer = Recorded(len(images), batch_size)
        self.loader = DataLoader(self.dataset, batch_sampler=self.balancer)
        self.model.register_comm_hook(self.balancer, time_and_sum)

    def together(self, balanced: bool = True) -> float:
        """Images a second of all ranks in an epoch; with shares as they are, if not balanced."""
        optimizer = torch.optim.SGD(self.model.parameters(), 0.05)
        MPI.COMM_WORLD.Barrier()
        started = time.perf_counter()
        for inputs, targets in self.loader:
            optimizer.zero_grad()
            functional.cross_entropy(self.model(inputs), targets).backward()
            optimizer.step()
            if balanced:
                self.balancer.step()
        return len(self.dataset) / (time.perf_counter() - started)

    def alone(self) -> float:
        """The sum of what the ranks reach without DDP on the same parts, all at the same time."""
        optimizer = torch.optim.SGD(self.copy.parameters(), 0.05)

        def train(parts: list[list[int]]) -> None:
            for inputs, targets in DataLoader(self.dataset, batch_sampler=parts):
                optimizer.zero_grad()
                functional.cross_entropy(self.copy(inputs), targets).backward()
                optimizer.step()

        parts = self.balancer.parts
        MPI.COMM_WORLD.Barrier()
        started = time.perf_counter()
        train(parts)
        speed = sum(map(len, parts)) / (time.perf_counter() - started)
        # Who is done goes on until all are: the others' cores do not get faster meanwhile.
        everybody = MPI.COMM_WORLD.Ibarrier()
        while not everybody.Test():
            train(parts[:1])
        return float(MPI.COMM_WORLD.allreduce(speed))


def main() -> None:
    """Measure; rank 0 prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--pairs", type=int, required=True)
    parser.add_argument("--updates", type=int, required=True)
    parser.add_argument("--quotas", nargs="+", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", type=float, required=True)
    options = parser.parse_args()
    prepare_process(1, 1)
    connect()
    script = Script(options.batch_size, options.updates)
    join(options.quotas[dist.get_rank()])
    script.together()  # in which the balancer finds the speeds
    pairs = [(script.together(), script.alone()) for _ in range(options.pairs)]
    shares = script.balancer.shares.tolist()
    ranks = dist.get_world_size()
    script.balancer.shares = whole_shares([1] * ranks, options.batch_size)
    equal = script.together(balanced=False)
    if dist.get_rank() == 0:
        ideal = median(alone for _, alone in pairs)
        print(json.dumps({
            "images_per_s": median(speed for speed, _ in pairs),
            "efficiency": median(speed / alone for speed, alone in pairs),
            "equal": equal / ideal, "shares": shares}))
    MPI.Finalize()
    leave()


if __name__ == "__main__":
    main()
