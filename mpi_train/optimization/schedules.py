"""Learning rates as a function of the update's number alone."""

import math
from dataclasses import dataclass

from mpi_train.configuration.groups import ScheduleOptions

# torch's OneCycleLR begins at 1/25 of its peak, and ends at 1/10,000 of its beginning.
ONE_CYCLE_START, ONE_CYCLE_END = 1 / 25, 1 / 25 / 10_000
ONE_CYCLE_RISE = 0.3  # of all updates, where no warm-up is named


@dataclass(frozen=True)
class Schedule:
    """The learning rate of every update of a run.

    Attributes:
        kind: what follows the warm-up: constant, linear, cosine, one-cycle or step.
        peak: highest rate.
        total: updates of the run.
        warmup: updates in which the rate rises to the peak.
        step_updates, step_factor: with `step`, the rate is multiplied so often by the factor.
    """

    kind: str
    peak: float
    total: int
    warmup: int
    step_updates: int = 1
    step_factor: float = 1.0

    @classmethod
    def of(
        cls, options: ScheduleOptions, batch_size: int, total: int, updates: int
    ) -> "Schedule":
        """The schedule of a run of so many updates, `updates` of them to an epoch.

        Scaling by the batch: linearly, with a warm-up (Goyal et al. 2017); by the square root;
        or LEGW (You et al. 2019), by the square root with warm-up epochs in proportion to the
        batch.
        """
        ratio = batch_size / options.base_batch_size
        factor = {"none": 1.0, "linear": ratio}.get(options.learning_rate_scaling, ratio**0.5)
        epochs = options.warmup_epochs
        if options.learning_rate_scaling == "legw":
            epochs *= ratio
        fraction = options.warmup_fraction
        if options.schedule == "one-cycle" and not (options.warmup_steps or epochs or fraction):
            fraction = ONE_CYCLE_RISE
        warmup = options.warmup_steps or round(epochs * updates) or round(fraction * total)
        return cls(
            options.schedule, options.learning_rate * factor, total, min(warmup, total),
            max(1, round(options.step_epochs * updates)), options.step_factor,
        )

    def rate(self, step: int) -> float:
        """Rate of update `step`, from 0."""
        if self.kind == "one-cycle":
            return self.peak * self._one_cycle(step)
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        done, left = step - self.warmup, max(1, self.total - self.warmup)
        if self.kind == "linear":
            return self.peak * (1 - done / left)
        if self.kind == "cosine":
            return self.peak * (1 + math.cos(math.pi * done / left)) / 2
        if self.kind == "step":
            return float(self.peak * self.step_factor ** (done // self.step_updates))
        return self.peak

    def _one_cycle(self, step: int) -> float:
        """Smith and Topin 2017, as torch has it: a rise and a fall, each half a cosine."""
        top = self.warmup - 1
        if step <= top:
            return _half_cosine(ONE_CYCLE_START, 1, step / top if top > 0 else 1)
        return _half_cosine(1, ONE_CYCLE_END, (step - top) / max(1, self.total - 1 - top))


def _half_cosine(begin: float, end: float, part: float) -> float:
    return end + (begin - end) * (1 + math.cos(math.pi * part)) / 2
