"""Balances a plain torch DDP script: an uneven sampler, and a hook that times and weighs.

    balancer = BalancedBatches(len(dataset), global_batch=256)
    loader = DataLoader(dataset, batch_sampler=balancer)
    model.register_comm_hook(balancer, time_and_sum)
    ... after every optimizer.step(): balancer.step()

The script goes on to compute the mean loss of its own part of a batch; the hook makes of the
ranks' gradients that of the mean over the whole batch. Parts differ in size, so layers that mix
the rows of a batch (BatchNorm) see other batches than before. Every rank computes one row at least,
since DDP waits for all of them.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import Sampler

from mpi_train.balance.balancer import Balancer
from mpi_train.balance.water_filling import whole_shares


class BalancedBatches(Sampler[list[int]]):
    """This rank's parts of the global batches of an epoch; each row counts in one part, once.

    To be used without loader workers that read ahead: a part is cut when it is asked for. An
    epoch's last batch may be shorter, and has its own weights. Where it has fewer rows than
    there are ranks, the others compute its first row, too, with weight 0.

    Attributes:
        shares: (R,) rows of each rank in the next update.

    Args:
        rows: of the data set.
        global_batch: rows of an update, over all ranks.
        seed: of the order, with the epoch's number.
    """

    def __init__(self, rows: int, global_batch: int, seed: int = 0) -> None:
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()
        self.rows, self.global_batch, self.seed, self.epoch = rows, global_batch, seed, 0
        self.shares = whole_shares(np.ones(self.ranks), global_batch, minimum=1)
        self._counts = self.shares  # (R,) rows of each rank in this update
        self._balancer = Balancer(self.ranks, parking=False)
        self._started = self._ready = self._summed = time.perf_counter()
        self._after_s = 0.0  # of the last update, from its sum to its end
        self._times: PendingTensor | None = None  # (R,) of this update
        self._settled: PendingTensor | None = None  # (R,) shares of the next one

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration is."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Updates of an epoch."""
        return -(-self.rows // self.global_batch)

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.rows)
        # What lay between two epochs is no rank's work.
        self._started = time.perf_counter()
        for first in range(0, self.rows, self.global_batch):
            size = min(self.global_batch, self.rows - first)
            self._counts = self.shares if size == self.global_batch else whole_shares(
                self.shares, size, minimum=int(size >= self.ranks))
            begin = first + int(self._counts[: self.rank].sum())
            part = order[begin : begin + int(self._counts[self.rank])].tolist()
            yield part or [int(order[first])]

    @property
    def weight(self) -> float:
        """Weight of this rank's mean in the mean over the whole batch."""
        return float(self._counts[self.rank] / self._counts.sum())

    def ready(self) -> None:
        """The backward pass is through, and the exchange of its last bucket begins."""
        self._ready = time.perf_counter()

    def send_time(self) -> None:
        """Have this rank's own time of the update set out, together with the gradients."""
        times = torch.zeros(self.ranks, dtype=torch.float64)
        own_s = self._ready - self._started + self._after_s
        work = dist.all_gather(list(times.split(1)), torch.tensor([own_s], dtype=torch.float64),
                               async_op=True)
        self._times = PendingTensor(times, work)

    def summed(self) -> None:
        """A bucket has been exchanged."""
        self._summed = time.perf_counter()

    def step(self) -> None:
        """After an update: learn from the ranks' own times, and settle shares.

        Nobody waits here. The times have come with the gradients; the new shares are those of
        the update after the next, so that they have as long as an update to arrive.
        """
        if self._times is None:
            raise RuntimeError("no times: model.register_comm_hook(balancer, time_and_sum)")
        self._after_s = time.perf_counter() - self._summed
        times, self._times = self._times.wait(), None
        shares = self.shares
        if self.rank == 0:
            self._balancer.observe(np.maximum(self._counts, 1), times)
            ratios = self._balancer.decide(self.global_batch).ratios
            shares = whole_shares(ratios, self.global_batch, minimum=1)
        coming = torch.tensor(shares)
        work = dist.broadcast(coming, 0, async_op=True)
        if self._settled is not None:
            self.shares = self._settled.wait()
        self._settled = PendingTensor(coming, work)
        self._started = time.perf_counter()


@dataclass(frozen=True)
class PendingTensor:
    """Numbers that are under way."""

    numbers: Tensor
    work: dist.Work | None

    def wait(self) -> np.ndarray:
        """The numbers, when they are here."""
        assert self.work is not None
        self.work.wait()
        return self.numbers.numpy()


def time_and_sum(
    balancer: BalancedBatches, bucket: dist.GradBucket
) -> torch.futures.Future[Tensor]:
    """A communication hook for DDP: sums weighted gradients, and stamps when they were ready.

    A clock around backward() would see the slowest rank on every rank.
    """
    if bucket.is_last():
        balancer.ready()
    gradient = bucket.buffer().mul_(balancer.weight)
    work = dist.all_reduce(gradient, async_op=True)
    assert work is not None
    if bucket.is_last():
        balancer.send_time()

    def take(future: torch.futures.Future) -> Tensor:
        balancer.summed()
        summed: Tensor = future.value()[0]
        return summed

    return work.get_future().then(take)
