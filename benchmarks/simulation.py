"""The balancer on workers that exist in numbers only: `reviewmill bench balance --simulate`.

The decisions are those of `mpi_train.balancer`, the code that the trainer runs. Simulated are the
workers: rank r takes drift * (fixed + exchange + x / speed) seconds for x tokens, times noise. An
update lasts as long as its slowest rank. Beside it, under the same noise and drift:

- equal: every rank the same share;
- 2019: once an epoch, shares proportional to 1 / forward time of a review, measured without noise
  of the exchange, which is kinder than its model was;
- optimum: shares from the true lines of the very update, which nobody can know.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mpi_train.balancer import Balancer
from mpi_train.water_filling import Array, proportional, water_fill

EPOCH = 500  # updates
WITHIN = 1.05  # of the best step time: settled
IN_A_ROW = 5  # updates that have to be settled, so that luck does not count


@dataclass(frozen=True)
class Group:
    """Workers and what they are given.

    Attributes:
        name: how a table calls it.
        speeds: (R,) tokens/s, in the long run.
        fixed_s: (R,) seconds of an update's own fixed work: launches, optimizer.
        exchange_s: (R,) seconds of rank r's own time for the exchange.
        tokens: of an update, on average.
    """

    name: str
    speeds: Array
    fixed_s: Array
    exchange_s: Array
    tokens: float

    @property
    def lines(self) -> tuple[Array, Array]:
        """a and b, (R,) each."""
        return self.fixed_s + self.exchange_s, 1 / self.speeds

    @property
    def ideal_s(self) -> float:
        """Seconds of an update if exchanging cost nothing and shares were perfect."""
        return water_fill(self.fixed_s, 1 / self.speeds, self.tokens)[1]

    @property
    def ceiling(self) -> float:
        """The efficiency that perfect shares reach without noise."""
        return self.ideal_s / water_fill(*self.lines, self.tokens)[1]


def group(
    name: str, speeds: Sequence[float] | Array, fixed_s: float | Array, exchange_s: float | Array,
    tokens: float,
) -> Group:
    """A Group; one number stands for all ranks."""
    spread = np.asarray(speeds, np.float64)
    return Group(name, spread, np.broadcast_to(fixed_s, spread.shape).astype(np.float64),
                 np.broadcast_to(exchange_s, spread.shape).astype(np.float64), tokens)


@dataclass(frozen=True)
class Weather:
    """What happens to the workers, update by update: the same for every rule.

    Attributes:
        noise: (U, R) factors of a rank's time around 1.
        drift: (U, R) factors that last: what the optimum knows.
        tokens: (U,) factors of an update's tokens around 1.
    """

    noise: Array
    drift: Array
    tokens: Array


def weather(
    updates: int, ranks: int, noise: float, seed: int, drift: Array | None = None,
    spikes: float = 0.0, batches: float = 0.02,
) -> Weather:
    """Draw the weather.

    Args:
        noise: relative standard deviation of a rank's time (log-normal, mean 1).
        drift: (U, R), default none.
        spikes: probability that a rank takes three times as long for one update.
        batches: relative standard deviation of an update's tokens.
    """
    draw = np.random.default_rng(seed)
    factors = np.exp(noise * draw.standard_normal((updates, ranks)) - noise ** 2 / 2)
    factors *= np.where(draw.random((updates, ranks)) < spikes, 3.0, 1.0)
    tokens = np.maximum(1 + batches * draw.standard_normal(updates), 0.1)
    return Weather(factors, np.ones((updates, ranks)) if drift is None else drift, tokens)


def wandering(updates: int, ranks: int, depth: float, seed: int) -> Array:
    """Drift (U, R): each worker's time swings by +- depth, once in 300 to 1,500 updates."""
    draw = np.random.default_rng(seed)
    turns = np.arange(updates)[:, None] / draw.uniform(300, 1500, ranks) + draw.random(ranks)
    swings: Array = np.exp(depth * np.sin(2 * np.pi * turns))
    return swings


def slowed(updates: int, ranks: int, rank: int, factor: float, first: int, last: int) -> Array:
    """Drift (U, R): one rank takes factor times as long from update first until last."""
    drift = np.ones((updates, ranks))
    drift[first:last, rank] = factor
    return drift


@dataclass(frozen=True)
class Run:
    """What came of a rule.

    Attributes:
        step_s: (U,) the slowest rank's seconds, with noise.
        best_s: (U,) the same with shares from the true lines, under the same noise.
        behind: (U,) step time over the best one, both without noise.
        predicted_s: (U,) what the balancer expected; nan elsewhere.
        renewed: (U,) bool, where the lines behind the shares were replaced.
        active: (U, R) bool, False where a rank was parked.
        decision_s: median seconds of observing and deciding an update.
    """

    step_s: Array
    best_s: Array
    behind: Array
    predicted_s: Array
    renewed: Array
    active: Array
    decision_s: float

    def share_of_best(self, first: int = 0) -> float:
        """Throughput from an update on, as a share of that with the true lines."""
        return float(self.best_s[first:].sum() / self.step_s[first:].sum())

    def updates_to_settle(self, start: int = 0) -> int:
        """Updates from start on before some in a row are within 5 % of the best step time."""
        within = self.behind[start:] <= WITHIN
        for update in range(len(within) - IN_A_ROW + 1):
            if within[update : update + IN_A_ROW].all():
                return update
        return len(within)


@dataclass
class _Recorder:
    """Collects a run, and times the ranks."""

    group: Group
    sky: Weather
    steps: list[float] = field(default_factory=list)
    behind: list[float] = field(default_factory=list)

    def seconds(self, update: int, x: Array, noisy: bool = True) -> Array:
        """What each rank takes (R,) for x tokens."""
        a, b = self.group.lines
        times: Array = self.sky.drift[update] * (a + b * x)
        return times * self.sky.noise[update] if noisy else times

    def best(self, update: int, cost: float) -> tuple[Array, float]:
        """Shares by the true lines, and the step's seconds without noise."""
        a, b = self.group.lines
        drift = self.sky.drift[update]
        return water_fill(a * drift, b * drift, cost)

    def add(self, update: int, cost: float, x: Array, active: Array) -> Array:
        """Run an update; return the ranks' seconds."""
        seconds = self.seconds(update, x)
        plain = self.seconds(update, x, noisy=False)
        self.steps.append(float(seconds[active].max()))
        self.behind.append(float(plain[active].max()) / self.best(update, cost)[1])
        return seconds


def simulate_fixed(workers: Group, sky: Weather, rule: str) -> Run:
    """A run under the rule `equal`, `2019` or `optimum`."""
    assert rule in ("equal", "2019", "optimum")
    updates, ranks = sky.noise.shape
    record = _Recorder(workers, sky)
    everyone = np.ones(ranks, bool)
    ratios, best_s = np.full(ranks, 1 / ranks), np.zeros(updates)
    tokens, forward_s = np.zeros(ranks), np.zeros(ranks)
    for update in range(updates):
        cost = workers.tokens * float(sky.tokens[update])
        best, _ = record.best(update, cost)
        best_s[update] = record.seconds(update, best)[best > 0].max()
        x = best if rule == "optimum" else ratios * cost
        record.add(update, cost, x, best > 0 if rule == "optimum" else everyone)
        tokens += x
        forward_s += sky.drift[update] * sky.noise[update] * x / workers.speeds
        if rule == "2019" and update % EPOCH == EPOCH - 1:
            ratios = proportional(tokens, forward_s)
            tokens, forward_s = np.zeros(ranks), np.zeros(ranks)
    return Run(np.array(record.steps), best_s, np.array(record.behind),
               np.full(updates, np.nan), np.zeros(updates, bool),
               np.ones((updates, ranks), bool), 0.0)


def simulate(workers: Group, sky: Weather, balancer: Balancer | None = None) -> Run:
    """A run under the balancer.

    A parked rank works on its trial while the others go on; its time reaches the balancer after
    the update in which the trial ends. Coming back costs the group a pause: parameters and the
    optimizer's two moments travel, three times what an exchange takes.
    """
    updates, ranks = sky.noise.shape
    balancer = balancer or Balancer(ranks)
    record = _Recorder(workers, sky)
    best_s, predicted_s, decision_s = np.zeros(updates), np.zeros(updates), np.zeros(updates)
    renewed, active = np.zeros(updates, bool), np.zeros((updates, ranks), bool)
    clock, trial_ends, trial = 0.0, np.full(ranks, np.inf), np.zeros((2, ranks))
    before = balancer.active.copy()
    for update in range(updates):
        cost = workers.tokens * float(sky.tokens[update])
        best, _ = record.best(update, cost)
        best_s[update] = record.seconds(update, best)[best > 0].max()
        started = time.perf_counter()
        decision = balancer.decide(cost)
        decision_s[update] = time.perf_counter() - started
        renewed[update], active[update] = decision.renewed, decision.active
        x = decision.ratios * cost
        predicted_s[update] = decision.step_s
        # No reduction in a trial, and no optimizer.
        alone_s = (sky.drift[update] * sky.noise[update]
                   * (workers.fixed_s + decision.trials / workers.speeds))
        begun = decision.trials > 0
        trial_ends[begun] = clock + alone_s[begun]
        trial[:, begun] = decision.trials[begun], alone_s[begun]

        seconds = record.add(update, cost, x, decision.active)
        if (decision.active & ~before).any():
            record.steps[-1] += 3 * float(workers.exchange_s.max())
        before = decision.active
        clock += record.steps[-1]
        ended = trial_ends <= clock
        trial_ends[ended] = np.inf
        x = np.where(ended, trial[0], x)
        seconds = np.where(decision.active, seconds, np.where(ended, trial[1], np.nan))
        started = time.perf_counter()
        balancer.observe(x, seconds)
        decision_s[update] += time.perf_counter() - started
    return Run(np.array(record.steps), best_s, np.array(record.behind), predicted_s, renewed,
               active, float(np.median(decision_s)))
