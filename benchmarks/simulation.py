"""The balancer on workers that exist in numbers only: `reviewmill bench balance --simulate`.

The decisions are those of `mpi_train.balance.balancer`, the code that the trainer runs. Simulated
are the workers: rank r takes drift * (fixed + exchange + x / speed) seconds for x tokens, times
noise. An
update lasts as long as its slowest rank. Beside it, under the same noise and drift:

- equal: every rank the same share;
- 2019: once an epoch, shares proportional to 1 / forward time of a review. Which time its model
  took is not known for sure; by the review is the kinder reading, by the batch it swings;
- optimum: shares from the true lines of the very update, which nobody can know.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.measure import machine, table
from mpi_train.balance.balancer import Balancer
from mpi_train.balance.water_filling import Array, proportional, water_fill
from reviews.errors import UserError
from reviews.options import make_parser

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
    name: str, speeds: Sequence[float] | Array, fixed_s: float | Sequence[float] | Array,
    exchange_s: float | Sequence[float] | Array, tokens: float,
) -> Group:
    """A Group; one number stands for all ranks."""
    spread = np.asarray(speeds, np.float64)
    return Group(name, spread, np.broadcast_to(fixed_s, spread.shape).astype(np.float64),
                 np.broadcast_to(exchange_s, spread.shape).astype(np.float64), tokens)


@dataclass(frozen=True)
class Weather:
    """Events of the workers, update by update: the same for every rule.

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
    """Result of a rule.

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
        """Seconds of each rank (R,) for x tokens."""
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


def throttled(mix: Sequence[float], batch: int) -> Group:
    """CPU ranks on parts of a core, the fastest on 80 % of one, with the costs of LSTM 100 -> 64.

    A core manages 953 reviews of 98.6 tokens a second, and for 3.04 M parameters a dense reduction
    takes it 14.5 ms and the optimizer 6.2 ms (measured).
    """
    quota = 0.8 * np.array(mix, np.float64) / max(mix)
    name = f"CPU {':'.join(f'{part:g}' for part in mix)}, batch {batch:,}"
    return group(name, 953 * 98.6 * quota, 0.0062 / quota, 0.0145 / quota, batch * 98.6)


def unequal(workers: int, seed: int = 0) -> Group:
    """Workers with speeds from 1 to 20; a mean one spends 2 % of a step on its fixed work."""
    speeds = np.random.default_rng(seed).uniform(1, 20, workers)
    tokens = float(speeds.sum())  # a second's work
    return group(f"{workers} workers, 1:20", speeds, 0.014 * speeds.mean() / speeds,
                 0.006 * speeds.mean() / speeds, tokens)


def mixes() -> list[Group]:
    """The mixes of the table.

    Of 2019: reviews/s from its own runs on one GPU (19.2 M reviews, ten epochs), 128 reviews a
    GPU, and as the exchange what its 2 and 4 equal nodes took beyond their share. The modern ones
    are assumed: speeds as the cards' memory bandwidths (H100 3.35, A100 2.0, L4 0.30, T4 0.32 TB/s)
    at a million tokens/s for one TB/s, 4 ms of fixed work, 3 ms of exchange.
    """
    m60, k80 = 5337.0, 2999.0  # reviews/s
    cards = {"H100": 3.35e6, "A100": 2.0e6, "L4": 0.30e6, "T4": 0.32e6}
    modern = [("1 H100 + 1 L4", ["H100", "L4"]), ("1 H100 + 2 A100 + 4 L4",
              ["H100"] + ["A100"] * 2 + ["L4"] * 4), ("2 A100 + 16 T4", ["A100"] * 2 + ["T4"] * 16)]
    return [
        group("1 M60 + 1 K80 (2019)", [m60, k80], 0, 0.0085, 256),
        group("3 M60 + 1 K80 (2019)", [m60, m60, m60, k80], 0, 0.0133, 512),
        *(throttled(mix, 1024) for mix in ([1, 1], [2, 1], [4, 1], [4, 3, 2, 1], [8, 1, 1])),
        *(group(name, [cards[card] for card in used], 0.004, 0.003,
                0.1 * sum(cards[card] for card in used)) for name, used in modern),
        unequal(256),
    ]


def row(workers: Group, updates: int, noise: float, drift: float, seed: int) -> list[str]:
    """A line of the table: efficiencies after the first epoch, and what the balancer did."""
    ranks = len(workers.speeds)
    sky = weather(updates, ranks, noise, seed,
                  wandering(updates, ranks, drift, seed) if drift else None)
    ideal = sum(
        water_fill(workers.fixed_s * bent, bent / workers.speeds, workers.tokens * float(part))[1]
        for bent, part in zip(sky.drift[EPOCH:], sky.tokens[EPOCH:], strict=True)
    )
    dynamic = simulate(workers, sky)
    runs = [*(simulate_fixed(workers, sky, rule) for rule in ("equal", "2019")), dynamic,
            simulate_fixed(workers, sky, "optimum")]
    jumps = simulate(workers, weather(300, ranks, noise, seed,
                                      slowed(300, ranks, 0, 4, first=100, last=200)))
    changes = 1000 * dynamic.renewed[EPOCH:].mean()
    return [workers.name, f"{workers.ceiling:.1%}",
            *(f"{ideal / run.step_s[EPOCH:].sum():.1%}" for run in runs),
            f"{dynamic.share_of_best(EPOCH):.1%}",
            *(f"{jumps.updates_to_settle(start)}" for start in (0, 100, 200)),
            f"{changes:.0f}", f"{dynamic.decision_s * 1e3:.2f}"]


HEADER = ["workers", "ceiling", "equal", "2019", "dynamic", "optimum", "of optimum", "cold", "4x",
          "back", "re-decisions", "ms"]


def main(argv: Sequence[str]) -> int:
    """Print the table; return the exit status."""
    parser = make_parser("reviewmill bench balance --simulate", "the balancer on simulated workers")
    parser.add_argument("--simulate", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--speeds", metavar="4,2,1,1", help="one group of this many workers "
                        "(tokens/s, an update is a second's work) instead of the known mixes; 8x4 "
                        "stands for eight workers of speed 4")
    parser.add_argument("--workers", type=int, metavar="N", help="N workers of speeds 1 to 20")
    parser.add_argument("--fixed", type=float, default=0.014, metavar="X",
                        help="--speeds: seconds of each worker's own fixed work")
    parser.add_argument("--exchange", type=float, default=0.006, metavar="X",
                        help="--speeds: seconds of each worker's own for the exchange")
    parser.add_argument("--noise", type=float, default=0.05, metavar="X", help="relative deviation")
    parser.add_argument("--drift", type=float, default=0.0, metavar="X",
                        help="range in which speeds wander up and down, as a fraction")
    parser.add_argument("--updates", type=int, default=1500, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    options = parser.parse_args(argv)
    if options.updates <= EPOCH:
        raise UserError(f"--updates must be above {EPOCH}, the first epoch, which is not counted")
    numbers = (options.noise, options.drift, options.fixed, options.exchange)
    if not all(0 <= number < 10 for number in numbers):
        raise UserError("--noise, --drift, --fixed and --exchange are numbers from 0 to 10")
    groups = _groups(options)
    rows = [row(one, options.updates, options.noise, options.drift, options.seed)
            for one in groups]
    print(table(HEADER, rows))
    print(f"""
noise {options.noise:.0%}, drift {options.drift:.0%}, updates {EPOCH:,} to {options.updates:,}, """
          f"""seed {options.seed}; {machine()}
ceiling to optimum: throughput as a share of the workers' sum without exchange (ceiling: no noise)
cold, 4x, back: updates until within 5 % of the best step, from the start, after worker 0 turned
4 times slower, and after it recovered; re-decisions in 1,000 updates; ms of deciding an update""")
    return 0


def _groups(options: argparse.Namespace) -> list[Group]:
    """Whom the command line asks for."""
    if options.workers is not None:
        if not 1 <= options.workers <= 256:
            raise UserError(f"--workers is 1 to 256, not {options.workers}")
        return [unequal(options.workers, options.seed)]
    if options.speeds is None:
        return mixes()
    speeds = parse_speeds(options.speeds)
    if not speeds or not all(0 < speed < float("inf") for speed in speeds):
        raise UserError(f"--speeds are positive numbers like 4,2,1,1, not {options.speeds!r}")
    if len(speeds) > 256:
        raise UserError(f"--speeds {options.speeds}: give 1 to 256 workers")
    return [group(options.speeds, speeds, options.fixed, options.exchange, sum(speeds))]


def parse_speeds(text: str) -> list[float]:
    """Speeds as --speeds has them; none where a part is no number."""
    found: list[float] = []
    for part in text.split(","):
        count, times, speed = part.rpartition("x")
        try:
            found += [float(speed)] * min(int(count) if times else 1, 257)
        except ValueError:
            return []
    return found
