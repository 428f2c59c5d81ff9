"""Stages on more nodes than this machine has cores: from rates measured with all of its cores busy.

A node is another core of this kind with memory of its own. Preparation is that of
`benchmarks.projection`, training that of `benchmarks.simulation`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.projection import Assumptions, Machine, Rates, project
from benchmarks.scaling.measured import FILES, Updates
from benchmarks.scaling.points import STRONG, WEAK, Point
from benchmarks.simulation import group, simulate, weather

UPDATES, SETTLED = 120, 20  # simulated updates of a count, and those before shares settle


@dataclass(frozen=True)
class TrainingRates:
    """A rank's line of an update: fixed_s + exchange_s(n) + tokens / speed.

    Attributes:
        speed: tokens/s.
        fixed_s: seconds of an update's own fixed work.
        exchange_s: seconds of a rank's own for the exchange, measured with `nodes` ranks.
        noise: relative standard deviation of a rank's time.
        tokens: padded tokens of a review.
    """

    speed: float
    fixed_s: float
    exchange_s: float
    nodes: int
    noise: float
    tokens: float

    def exchange_of(self, nodes: int) -> float:
        """The exchange of n ranks: a ring's, by which each moves 2 (n - 1) / n of the gradient."""
        if nodes == 1:
            return 0.0
        return self.exchange_s * (1 - 1 / nodes) / (1 - 1 / self.nodes)


def training_rates(done: Mapping[str, Updates], nodes: int) -> TrainingRates:
    """The line through the updates of strong and of weak scaling on the same ranks, of which the
    latter have `nodes` times as many tokens."""
    small, large = done[STRONG], done[WEAK]
    few, many = small.mean("share_tokens"), large.mean("share_tokens")
    by_token = max((large.own_s - small.own_s) / (many - few), 1e-12)
    fixed = max(0.0, small.own_s - by_token * few)
    steps = [*small.steps, *large.steps]
    off = [compute / (fixed + exchange + by_token * tokens)
           for step in steps
           for compute, exchange, tokens in zip(step["compute_s"], step["reduction_s"],
                                                step["share_tokens"], strict=True)]
    noise = float(np.std(off) / np.mean(off))
    # Waiting is in no one's own time: ranks have it from each other's noise.
    return TrainingRates(
        1 / by_token, fixed, (small.mean("reduction_s") + large.mean("reduction_s")) / 2, nodes,
        min(noise, 1.0),
        sum(step["tokens"] for step in steps) / sum(step["reviews"] for step in steps))


def train_point(
    rates: TrainingRates, law: str, size: int, nodes: int, batch: int, seed: int = 0
) -> Point:
    """An epoch of a size on some ranks."""
    times = nodes if law == WEAK else 1
    workers = group("", np.full(nodes, rates.speed), rates.fixed_s, rates.exchange_of(nodes),
                    batch * times * rates.tokens)
    run = simulate(workers, weather(UPDATES, nodes, rates.noise, seed))
    step_s = run.step_s[SETTLED:]
    return Point("train", law, size, nodes, size * times,
                 size / batch * float(step_s.mean()), float(np.median(step_s)), False)


def prepare_point(rates: Rates, start_s: float, law: str, size: int, nodes: int) -> Point:
    """Raw files to a store on some workers: tasks take turns on them, as in the projection."""
    times = nodes if law == WEAK else 1
    corpus = Assumptions(reviews=size * times, bytes=round(size * times * rates.review_bytes))
    seconds = start_s + sum(
        project(rates, corpus, Machine("", nodes), files=FILES * times).values())
    return Point("prepare", law, size, nodes, size * times, seconds, seconds, False)


def score_point(
    measured: Sequence[Point], start_s: float, law: str, size: int, nodes: int
) -> Point:
    """Raw files to predictions: a start, and the work at the pace of each core of the largest
    measured count. Lone texts wait as long as there: nothing is exchanged."""
    times = nodes if law == WEAK else 1
    largest = max((point for point in measured if point.law == law),
                  key=lambda point: point.nodes)
    by_review = max(largest.seconds - start_s, 1e-9) * largest.nodes / largest.reviews
    return Point("score", law, size, nodes, size * times,
                 start_s + by_review * size * times / nodes, largest.latency_s, False)
