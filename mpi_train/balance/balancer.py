"""Shares of the next update, decided from measured times by nothing but numpy.

    balancer = Balancer(ranks=4)
    decision = balancer.decide(cost)            # before an update of that many tokens
    ... each rank trains its part and measures its own seconds, waiting left out ...
    balancer.observe(tokens, seconds)           # (R,) each, the same order of ranks

One rank decides and tells the others. Tokens may be any unit of work, reviews too. The shares
follow lines t = a + b x (`mpi_train.balance.rank_timing`) by water-filling
(`mpi_train.balance.water_filling`):

1. From the first update on, without a profile; after a jump, from its second sample on.
2. What the shares are computed from is replaced only when that is worth more than a dead band
   and than what noise alone would suggest. New costs only mean new cuts of the same lines.
3. Now and then shares are moved a little on purpose, so that a and b can be told apart.
4. A rank that would slow the rest even with share 0 is parked: it gets no share and need not
   take part. It is tried now and then, on tokens whose gradient nobody uses.

Everything is a function of the numbers handed in: no clock, no random generator.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from mpi_train.balance.rank_timing import RankTiming
from mpi_train.balance.water_filling import Array, check_caps, water_fill

DEAD_BAND = 0.02  # of the step time; less is not worth a new decision
FINE_BAND = 0.005  # the same while little is known: at first, and after a jump
FAR = 0.2  # of a share
SETTLING = 10  # updates after a jump, of a speed or a share, in which every update may decide
DITHER_EVERY = 16  # updates
DITHER = 0.03  # of a step's time, in those updates
DITHER_DOWN = 0.3  # the most a share shrinks for it
PARK = 0.95  # of the step time: who needs that much before its first token is of no use
RETURN = 0.8  # the same for coming back
PARK_SHARE, RETURN_SHARE = 0.02, 0.04  # of an equal share: who would get less is of no use either
SURE = 0.1  # relative deviation of what an update costs a rank before it may be parked for it
EXCHANGE_MEMORY = 20  # updates
PATIENCE = 2  # updates that have to agree before a rank is parked
TRIAL_SIZE = 2.0  # a trial's tokens take about this many times what an update costs at all,
TRIAL_SHARE = 0.05  # but it has this part of an equal share at least, and one at most
TRIAL_WAIT = (4, 64)  # updates from a failed trial to the next: at least, at most
TRIAL_PART = 50  # between these, one part in so many of the time it has been parked
RELAPSE = 200  # updates: who is parked again so soon is tried half as often


class UnusableTimes(ValueError):
    """Tokens or seconds of an update that make no sense, in one line."""


def check_times(
    tokens: Sequence[float] | Array, seconds: Sequence[float] | Array, active: Array
) -> tuple[Array, Array]:
    """Tokens and seconds (R,) as float64. Raises UnusableTimes where they make no sense.

    A pure test: every rank that holds the same numbers comes to the same end. Ranks that are not
    active may report nan for nothing.
    """
    x, t = np.asarray(tokens, np.float64), np.asarray(seconds, np.float64)
    if x.shape != active.shape or t.shape != active.shape:
        raise UnusableTimes(f"{x.size} tokens and {t.size} times for {active.size} ranks")
    wrong = ~(np.isfinite(x) & (x >= 0))
    if wrong.any():
        rank = int(np.argmax(wrong))
        raise UnusableTimes(f"rank {rank} reports {x[rank]} tokens")
    reporting = active | ~np.isnan(t)
    # Only a rank with nothing to do may be done in no time.
    wrong = reporting & ~(np.isfinite(t) & (t >= 0) & ((t > 0) | (x == 0)))
    if wrong.any():
        rank = int(np.argmax(wrong))
        raise UnusableTimes(f"rank {rank} reports {t[rank]} s for {x[rank]:.0f} tokens: "
                            "a time is a positive number")
    return x, t


@dataclass(frozen=True)
class Decision:
    """Division of the next update.

    Attributes:
        ratios: (R,) fractions of the update's cost, adding up to 1; 0 for parked ranks.
        active: (R,) bool, False for parked ranks. One that turns True needs the parameters.
        trials: (R,) tokens a parked rank is to time itself on, starting now; else 0.
        renewed: whether the lines behind the shares were replaced for this update.
        step_s: what the update is expected to take; nan before anything is known.
    """

    ratios: Array
    active: Array
    trials: Array
    renewed: bool
    step_s: float


class Balancer:
    """Shares for R ranks.

    Args:
        ranks: how many.
        caps: (R,) the most a rank may get, as a fraction of an update's cost, together >= 1.
        speeds: (R,) known in advance, in any unit; the first shares follow them.
        parking: whether ranks may be parked; without it, everyone is always active.
        every: decide anew only at every so manieth update.
        stays: ranks that are never parked.
    """

    def __init__(
        self, ranks: int, caps: Sequence[float] | None = None,
        speeds: Sequence[float] | None = None, parking: bool = True, every: int = 1,
        stays: Sequence[int] = (),
    ) -> None:
        if ranks < 1 or every < 1:
            raise ValueError(f"{ranks} ranks, balanced every {every} updates: both start at 1")
        self.ranks, self.parking, self.every = ranks, parking, every
        self._parkable = ~np.isin(np.arange(ranks), stays)
        self.caps = None if caps is None else check_caps(caps, ranks)
        self._speeds = np.ones(ranks) if speeds is None else np.asarray(speeds, np.float64)
        if self._speeds.shape != (ranks,):
            raise ValueError(f"{self._speeds.size} speeds for {ranks} ranks")
        if not (np.isfinite(self._speeds).all() and (self._speeds > 0).all()):
            raise ValueError(f"speeds are positive numbers, not {self._speeds.tolist()}")
        self.fits = RankTiming(ranks)
        self.active = np.ones(ranks, bool)
        self.updates = 0  # observed so far
        self.renewals = 0  # how often the lines behind the shares were replaced
        # The lines behind the shares; before anything is measured, the speeds alone.
        self._lines = np.stack([np.zeros(ranks), 1 / self._speeds])  # (2, R)
        self._since = np.zeros(ranks, np.int64)  # updates since the start or the rank's last jump
        self._useless = np.zeros(ranks, np.int64)  # updates in a row
        self._exchange = np.zeros(ranks)  # seconds, running means
        self._moved = np.full(ranks, -RELAPSE)  # the update a rank was parked or came back
        self._wait = np.zeros(ranks, np.int64)  # updates until a parked rank's next trial
        self._pause = np.full(ranks, TRIAL_WAIT[0])  # least updates between its trials
        self._trial = np.zeros((2, ranks))  # of a parked rank: tokens, seconds of the first

    def observe(
        self, tokens: Sequence[float] | Array, seconds: Sequence[float] | Array,
        exchange: Sequence[float] | Array | None = None,
        fixed: Sequence[float] | Array | None = None,
    ) -> None:
        """Take in an update.

        Args:
            tokens: (R,) what each rank really got; for a parked rank that reports a trial, the
                trial's tokens.
            seconds: (R,) what the rank itself took, waiting for others left out; nan for a
                parked rank without a finished trial.
            exchange: (R,) of each rank's own for the exchange, which begins when all are ready:
                the longest comes on top of the step, whoever has which share. It is not part of
                seconds.
            fixed: (R,) of seconds, what had nothing to do with the tokens, where it was measured:
                optimizer, reading. It tells a from b at once; nan where it is not known.

        Raises UnusableTimes, before anything changes, for times that make no sense.
        """
        x, t = check_times(tokens, seconds, self.active)
        self.updates += 1
        if exchange is not None:
            part = 1 / min(self.updates, EXCHANGE_MEMORY)
            self._exchange += np.where(self.active, part * (exchange - self._exchange), 0)
        self._since += 1
        known_s = None if fixed is None else np.asarray(fixed, np.float64)
        self._since[self.fits.observe(x, np.maximum(t, 1e-9), self.active, known_s)] = 0
        cost = float(x[self.active].sum())
        if self.parking and cost > 0:
            self._wait -= ~self.active & (self._wait > 0)
            self._judge_trials(x, t, cost)
            self._park(cost)

    def decide(self, cost: float) -> Decision:
        """Shares for an update of that many tokens."""
        if not (math.isfinite(cost) and cost > 0):
            raise ValueError(f"an update of {cost} tokens cannot be shared")
        known = bool(self.fits.samples[self.active].any())
        x, level = self._fill(self._lines, cost, self.active)
        renewed = False
        if known and self.updates % self.every == 0:
            fitted = self._fitted()
            best, best_s = self._fill(fitted, cost, self.active)
            renewed = self._is_worth_it(x, best, (fitted[0] + fitted[1] * x) / best_s - 1, cost)
            if renewed:
                # A share far from the last is new ground: what it takes there is learned anew.
                self._since[np.abs(best - x) > FAR * x] = 0
                self._lines, x, level = fitted, best, best_s
                self.renewals += 1
        settled = bool((self._since > SETTLING)[self.active].all())
        if settled and self.updates % DITHER_EVERY == DITHER_EVERY - 1:
            x = self._dithered(x, level, cost)
        due = ~self.active & (self._wait == 0)
        self._wait[due] = -1  # under way
        trials = np.where(due, self._trial[0], 0.0)
        return Decision(x / x.sum(), self.active.copy(), trials, renewed, self.step_seconds(x))

    def step_seconds(self, tokens: Sequence[float] | Array) -> float:
        """Expected duration of an update with these tokens (R,); nan before the first.

        The median of the slowest active rank's time: with noise, the largest of many is well
        above what each would take on average.
        """
        if (self.fits.samples[self.active] == 0).any():
            return math.nan
        seconds = self.fits.predict(np.asarray(tokens, np.float64))[self.active]
        noise = self.fits.noise[self.active]
        near = seconds >= seconds.max() * (1 - 2 * noise.mean())  # any of these may be the last
        late = NormalDist().inv_cdf(0.5 ** (1 / near.sum())) * math.sqrt((noise[near] ** 2).mean())
        return max(float(seconds.max()), float(seconds[near].mean()) * (1 + late))

    def _fitted(self) -> Array:
        """Lines (2, R) as fitted; a rank without a measurement is taken for a middling one."""
        lines = np.stack([self.fits.a, self.fits.b])
        missing = self.fits.samples == 0
        if missing.all():
            return self._lines
        if missing.any():
            lines[:, missing] = np.median(lines[:, ~missing], axis=1)[:, None]
        return lines

    def _fill(self, lines: Array, cost: float, active: Array) -> tuple[Array, float]:
        """Water-filling over the active ranks: x (R,), 0 for the others, and T."""
        x = np.zeros(self.ranks)
        caps = None if self.caps is None else self.caps[active]
        x[active], level = water_fill(lines[0, active], lines[1, active], cost, caps)
        return x, level

    def _is_worth_it(self, x: Array, best: Array, excess: Array, cost: float) -> bool:
        """True when new lines would shorten the step by more than a band and than noise explains.

        Either some rank takes too long, or ranks have become faster and together could take more
        than a band of the update. For a while after a rank's jump its band is fine and its noise
        is let pass.

        Args:
            x, best: (R,) tokens by the lines in use and by those just fitted.
            excess: (R,) what x takes too long by, as a part of the best step time.
        """
        # Ranks at share 0 both ways gain nothing by it; whether they should go is _park's.
        excess = np.where(self.active & ((x > 0) | (best > 0)), excess, 0)
        since = self._since
        settling = (since <= SETTLING) | ((since <= 256) & (since & (since - 1) == 0))
        # The largest of R normal numbers is about sqrt(2 ln R), so more ranks need a wider band.
        sure = 1 + math.sqrt(2 * math.log(max(int(self.active.sum()), 2)))
        band = np.where(settling, FINE_BAND, DEAD_BAND + sure * self.fits.spread(x))
        idle = np.where(excess < -band, best - x, 0).sum() / cost
        enough = FINE_BAND if (settling & self.active).any() else DEAD_BAND
        return bool((excess > band).any() or idle > enough)

    def _dithered(self, x: Array, level: float, cost: float) -> Array:
        """Shares moved so that some ranks take a little longer, and the others so much less.

        Who goes which way follows the bits of the rank and of the update, so that every pair of
        ranks is told apart in turn.
        """
        turn = self.updates // DITHER_EVERY
        bits = max(1, (self.ranks - 1).bit_length())
        up = ((np.arange(self.ranks) >> (turn // 2 % bits)) & 1) == turn % 2
        b = self._lines[1]
        movable = self.active & (x > 0)
        most = np.full(self.ranks, np.inf) if self.caps is None else self.caps * cost - x
        more = np.where(up & movable, np.minimum(DITHER * level / b, most), 0)
        less = np.where(~up & movable, DITHER_DOWN * x, 0)
        amount = min(more.sum(), less.sum())
        if amount <= 0:
            return x
        moved: Array = x + more * (amount / more.sum()) - less * (amount / less.sum())
        return moved

    def _park(self, cost: float) -> None:
        """Park the ranks that have been of no use for some updates."""
        x, level = self._fill(self._fitted(), cost, self.active)
        fits, equal = self.fits, cost / self.active.sum()
        # What it takes without a share decides, so that has to be known.
        sure = fits.spread(np.zeros(self.ranks)) < SURE
        useless = (self.active & self._parkable & (fits.samples > 0) & sure
                   & ((fits.a >= PARK * level) | (x < PARK_SHARE * equal)))
        slowest = int(np.argmax(np.where(self.active & self._parkable, self._exchange, 0)))
        useless[slowest] |= bool(sure[slowest] and self._costs(slowest, level, cost))
        self._useless = np.where(useless, self._useless + 1, 0)
        for rank in np.flatnonzero(self._useless >= PATIENCE).tolist():
            rest = self.active.copy()
            rest[rank] = False
            if rest.any() and (self.caps is None or self.caps[rest].sum() >= 1):
                self.active = rest
                self._useless[rank] = self._wait[rank] = 0
                relapse = self.updates - self._moved[rank] < RELAPSE
                self._pause[rank] = (min(2 * self._pause[rank], TRIAL_WAIT[1]) if relapse
                                     else TRIAL_WAIT[0])
                self._moved[rank] = self.updates
                size = TRIAL_SIZE * float(fits.a[rank] / fits.b[rank])
                self._trial[:, rank] = min(max(size, TRIAL_SHARE * equal), equal), 0

    def _costs(self, rank: int, level: float, cost: float) -> bool:
        """True when the others were sooner done without a rank, and without its exchange."""
        rest = self.active.copy()
        rest[rank] = False
        if not self._exchange[rank] or not rest.any() or (
                self.caps is not None and self.caps[rest].sum() < 1):
            return False
        alone_s = self._fill(self._fitted(), cost, rest)[1] + self._exchange[rest].max()
        return bool(alone_s < PARK * (level + self._exchange[self.active].max()))

    def _judge_trials(self, x: Array, t: Array, cost: float) -> None:
        """Take back parked ranks whose trial shows that they would help now.

        The first trial comes right after parking and is what later ones of the same size are
        compared with: their ratio is how the rank's speed has changed, whatever a trial leaves
        out (the reduction, mostly). One is enough: nothing makes a rank look faster than it is.
        """
        for rank in np.flatnonzero(~self.active & np.isfinite(t) & (x > 0)).tolist():
            # The trial may have had other tokens than asked for, by a review.
            seconds = float(t[rank] / x[rank] * self._trial[0, rank])
            if not self._trial[1, rank]:
                self._trial[1, rank] = seconds
            change = seconds / self._trial[1, rank]
            together = self.active.copy()
            together[rank] = True
            lines = self._fitted()
            lines[:, rank] *= change
            shares, level = self._fill(lines, cost, together)
            enough = shares[rank] >= RETURN_SHARE * cost / together.sum()
            alone_s = (self._fill(lines, cost, self.active)[1]
                       + self._exchange[self.active].max())
            enough &= level + max(change * self._exchange[rank],
                                  self._exchange[self.active].max()) < alone_s
            if enough and lines[0, rank] < RETURN * level:
                self.fits.rescale(rank, change)
                self._moved[rank] = self.updates
                self._since[rank] = 0
                self.active = together
                continue
            parked = int(self.updates - self._moved[rank])
            self._wait[rank] = max(self._pause[rank], min(parked // TRIAL_PART, TRIAL_WAIT[1]))

    def state(self) -> dict[str, Any]:
        """Everything learned, for a checkpoint: numbers and lists."""
        return {"ranks": self.ranks, "fits": self.fits.state(),
                **{name: getattr(self, name).tolist() for name in _ARRAYS},
                **{name: getattr(self, name) for name in _COUNTERS}}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave; learn everything anew with another number of ranks, or
        from the state of another rule. Nobody stays parked whom the caps need now.
        """
        if state.get("ranks") != self.ranks:
            return
        self.fits.restore(state["fits"])
        for name in _ARRAYS:
            setattr(self, name, np.array(state[name], getattr(self, name).dtype))
        for name in _COUNTERS:
            setattr(self, name, state[name])
        self._wait[self._wait < 0] = 0  # trials under way ended with the process
        if self.caps is not None and self.caps[self.active].sum() < 1:
            self.active[:] = True


_ARRAYS = ("active", "_exchange", "_since", "_lines", "_useless", "_moved", "_wait", "_pause",
           "_trial")
_COUNTERS = ("updates", "renewals")
