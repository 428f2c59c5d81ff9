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
        self._started = self._ready = time.perf_counter()
        self._summed: float | torch.cuda.Event = self._started
        self._device = torch.device("cpu")  # of what ranks tell each other
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

    def ready(self, gradient: Tensor) -> None:
        """The backward pass is through, and the exchange of its last bucket begins."""
        if gradient.is_cuda:
            # The GPU is behind this program, and what others do must not count.
            torch.cuda.current_stream(gradient.device).synchronize()
        self._ready = time.perf_counter()
        self._device = torch.device("cpu") if dist.get_backend() == "gloo" else gradient.device

    def send_time(self) -> None:
        """Have this rank's own time of the update set out, together with the gradients."""
        times = torch.zeros(self.ranks, dtype=torch.float64, device=self._device)
        own_s = self._ready - self._started + self._after_s
        own = torch.tensor([own_s], dtype=torch.float64, device=self._device)
        work = dist.all_gather(list(times.split(1)), own, async_op=True)
        self._times = PendingTensor(times, work)

    def summed(self, gradient: Tensor) -> None:
        """A bucket has been exchanged; on a GPU, it will have been at this place of the stream."""
        self._summed = _stamp(gradient)

    def step(self) -> None:
        """After an update: learn from the ranks' own times, and settle shares.

        Nobody waits here. The times have come with the gradients; the new shares are those of
        the update after the next, so that they have as long as an update to arrive.
        """
        if self._times is None:
            raise RuntimeError("no times: model.register_comm_hook(balancer, time_and_sum)")
        self._after_s = _seconds_since(self._summed)
        times, self._times = self._times.wait(), None
        shares = self.shares
        if self.rank == 0:
            self._balancer.observe(np.maximum(self._counts, 1), times)
            ratios = self._balancer.decide(self.global_batch).ratios
            shares = whole_shares(ratios, self.global_batch, minimum=1)
        coming = torch.tensor(shares, device=self._device)
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
        return self.numbers.cpu().numpy()


def time_and_sum(
    balancer: BalancedBatches, bucket: dist.GradBucket
) -> torch.futures.Future[Tensor]:
    """A communication hook for DDP: sums weighted gradients, and stamps when they were ready.

    A clock around backward() would see the slowest rank on every rank.
    """
    if bucket.is_last():
        balancer.ready(bucket.buffer())
    gradient = bucket.buffer().mul_(balancer.weight)
    work = dist.all_reduce(gradient, async_op=True)
    assert work is not None
    if bucket.is_last():
        balancer.send_time()

    def take(future: torch.futures.Future) -> Tensor:
        summed: Tensor = future.value()[0]
        balancer.summed(summed)
        return summed

    return work.get_future().then(take)


def _stamp(gradient: Tensor) -> "float | torch.cuda.Event":
    """Now, or on a GPU the place that its current stream has come to."""
    if not gradient.is_cuda:
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(gradient.device))
    return event


def _seconds_since(stamp: "float | torch.cuda.Event") -> float:
    """Seconds from a stamp to now, or on a GPU until all that it was given so far is done."""
    if isinstance(stamp, float):
        return time.perf_counter() - stamp
    now = torch.cuda.Event(enable_timing=True)
    now.record()
    now.synchronize()
    return stamp.elapsed_time(now) / 1e3
