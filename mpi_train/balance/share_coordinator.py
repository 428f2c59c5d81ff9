"""Division of the next update: decided on rank 0, and broadcast to all that take part.

A parked rank is called by a message: to time itself, to come back, or because there is nothing
to wait for any more. Rank 0 keeps the run's books, and is never parked.
"""

import math
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mpi_train.balance.balancer import Balancer, Decision, check_times
from mpi_train.balance.efficiency import ceiling
from mpi_train.balance.epoch_profile import EpochProfile
from mpi_train.configuration.groups import BalanceOptions
from mpi_train.exchange.communicator import Communicator, Stopped
from mpi_train.exchange.group import Group
from mpi_train.exchange.step_report import StepReport

Array = np.ndarray

_CALL, _TIMES = 1, 2  # tags of messages: from rank 0 to a parked rank, and back
NAP_S = 2e-3  # between two looks for a message


class Trial(NamedTuple):
    """A parked rank is to time itself on so many tokens of an update."""

    epoch: int
    number: int
    tokens: float


class Return(NamedTuple):
    """A parked rank is to take part from this update on, divided like that."""

    number: int
    announced: Array


class Rest(NamedTuple):
    """The epoch is over, or with a reason and an exit status the run."""

    reason: str | None
    status: int


Call = Trial | Return | Rest


@dataclass(frozen=True)
class ShareDecision:
    """An update's division.

    Attributes:
        ratios: (R,) of its cost.
        joined: ranks that come back with it, without the current parameters.
        predicted_s: on rank 0, what the slowest rank is thought to take; else nan.
        renewed: on rank 0, whether the lines behind the shares were replaced.
        own_s: what deciding took of this rank's time.
    """

    ratios: Array
    joined: tuple[int, ...]
    predicted_s: float
    renewed: bool
    own_s: float


class ShareCoordinator:
    """The division of updates, as the configuration wants it."""

    def __init__(
        self, options: BalanceOptions, communicator: Communicator, group: Group
    ) -> None:
        ranks = communicator.size
        self._communicator, self._group = communicator, group
        self.ratios = np.array(options.ratios(ranks), np.float64)
        self.ratios /= self.ratios.sum()
        # Rank 0 decides for all; the others have it for the state that a checkpoint gives them.
        self.rule: Balancer | EpochProfile | None = None
        if ranks > 1 and not options.shares and options.balance == "dynamic":
            self.rule = Balancer(ranks, options.caps or None, stays=(0,),
                                 every=options.rebalance_every)
        elif ranks > 1 and not options.shares and options.balance == "epoch":
            self.rule = EpochProfile(ranks)
        self._announced = np.zeros((2, ranks))  # ratios, and whether a rank is active
        self._recalled = False
        self._trial: Trial | None = None  # not finished
        self._sent: list[Any] = []

    @property
    def parked(self) -> bool:
        """True when this rank has no part in the next update."""
        return self._communicator.rank not in self._group.ranks and not self._recalled

    def state(self) -> dict[str, Any] | None:
        """State for a checkpoint: what was learned about the ranks."""
        return self.rule.state() if self.rule else None

    def restore(self, state: dict[str, Any] | None) -> None:
        """Go on from a checkpoint; all ranks hold its parameters."""
        if state and self.rule:
            self.rule.restore(state)
            self._group.set_ranks(np.flatnonzero(self.rule.active).tolist())

    def lines(self) -> dict[str, list[float]]:
        """Lines of the ranks: seconds of an update (R,) and of a token (R,)."""
        if not isinstance(self.rule, Balancer):
            return {}
        return {"a": self.rule.fits.a.tolist(), "b": self.rule.fits.b.tolist()}

    def ceiling(self, tokens: Array, exchange_s: Array) -> float | None:
        """On rank 0, the efficiency that no shares could exceed (`balance.efficiency`)."""
        if not isinstance(self.rule, Balancer) or self._communicator.rank:
            return None
        active, fits = self.rule.active, self.rule.fits
        if not fits.samples[active].all():
            return None
        return ceiling(fits.a[active], fits.b[active], exchange_s[active], float(tokens.sum()))

    def decide(self, epoch: int, number: int, cost: int) -> ShareDecision:
        """Decide the division of an update of so many padded tokens.

        A rank that finds itself parked afterwards has no part in the update.
        """
        started = time.perf_counter()
        if self.rule is None:
            return ShareDecision(self.ratios, (), math.nan, False, 0.0)
        predicted_s, renewed = math.nan, False
        if self._communicator.rank == 0:
            decision = self._decide(self.rule, number, cost)
            self._announced = np.stack([decision.ratios, decision.active.astype(np.float64)])
            predicted_s, renewed = decision.step_s, decision.renewed
            self._call_parked(decision, epoch, number)
        own_s = time.perf_counter() - started
        if self._recalled:
            self._recalled = False
        else:
            self._group.broadcast(self._announced)
        self.ratios = self._announced[0].copy()
        joined = self._regroup(np.flatnonzero(self._announced[1]).tolist())
        return ShareDecision(self.ratios, joined, predicted_s, renewed, own_s)

    def _decide(self, rule: Balancer | EpochProfile, number: int, cost: int) -> Decision:
        return (rule.decide(cost) if isinstance(rule, Balancer)
                else rule.decide(first=number == 0))

    def _call_parked(self, decision: Decision, epoch: int, number: int) -> None:
        for rank, tokens in enumerate(decision.trials.tolist()):
            if tokens > 0:
                self._send(rank, Trial(epoch, number, tokens))
            elif decision.active[rank] and rank not in self._group.ranks:
                self._send(rank, Return(number, self._announced))

    def _regroup(self, active: list[int]) -> tuple[int, ...]:
        before, now = set(self._group.ranks), set(active)
        if now != before:
            self._group.set_ranks(active)
        return tuple(sorted(now - before))

    def _send(self, rank: int, call: Call) -> None:
        world = self._communicator.world
        self._sent = [request for request in self._sent if not request.Test()]
        self._sent.append(world.isend(call, rank, _CALL))

    def observe(self, tokens: Array, reports: StepReport) -> None:
        """Learn from an update.

        Args:
            tokens: (R,) of each rank, 0 for parked ones.
            reports: of each rank, (R,) each. A reduction waits for the last rank, so its time
                is not part of what tokens took.

        Raises UnusableTimes on all ranks of the group for times that make no sense.
        """
        if self.rule is None:
            return
        active = np.isin(np.arange(len(tokens)), self._group.ranks)
        seconds = np.subtract(reports.compute_s, reports.reduction_s)
        x, t = tokens.astype(np.float64), np.where(active, seconds, np.nan)
        if self._communicator.rank == 0:
            for rank in np.flatnonzero(~active).tolist():
                if self._communicator.world.Iprobe(rank, _TIMES):
                    x[rank], t[rank] = self._communicator.world.recv(source=rank, tag=_TIMES)
        check_times(x, t, active)
        if self._communicator.rank == 0:
            self.rule.observe(x, t, reports.reduction_s,
                              np.where(active, reports.fixed_s, np.nan))

    def dismiss(self, reason: str | None = None, status: int = 0) -> None:
        """Rank 0: tell the parked that the epoch is over, or the run."""
        if self._communicator.rank == 0:
            for rank in set(range(self._communicator.size)) - set(self._group.ranks):
                self._send(rank, Rest(reason, status))

    def called(self) -> bool:
        """True when a message waits for this parked rank."""
        return bool(self._communicator.world.Iprobe(0, _CALL))

    def next_call(self) -> Call:
        """On a parked rank, what to do next: a trial that was cut short is due first."""
        if self._trial and not self.called():
            return self._trial
        while not self.called():
            time.sleep(NAP_S)
        call: Call = self._communicator.world.recv(source=0, tag=_CALL)
        if isinstance(call, Trial):
            self._trial = call
        elif isinstance(call, Return):
            self._announced, self._recalled = call.announced, True
        elif call.reason:
            raise Stopped(call.reason, call.status)
        return call

    def report(self, tokens: float, seconds: float) -> None:
        """On a parked rank: the trial is done."""
        self._trial = None
        self._communicator.world.isend((tokens, seconds), 0, _TIMES).wait()
