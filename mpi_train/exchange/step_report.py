"""Report of one rank on its part of an update: loss, times, and requests to end."""

from typing import NamedTuple

from mpi_train.exchange.gradient_exchange import Reduction


class StepReport(NamedTuple):
    """Numbers that every rank all-gathers before anything changes.

    Attributes:
        loss: sum over the rank's reviews, weighted.
        broken: 1 where the rank found a gradient that is no number, else 0.
        asked: signal that asked the rank to end, or 0.
        compute_s: all that the rank did itself, with the optimizer's step of the update before.
        wait_s: idle time, in the reduction and before.
        reduction_s: of compute_s, what the rank did for the reduction.
        fixed_s: of compute_s, what has nothing to do with the number of tokens.
        sampled: squared norm of the rank's part of a sample (`NoiseMeter`), or 0.
    """

    loss: float
    broken: float
    asked: float
    compute_s: float
    wait_s: float
    reduction_s: float
    fixed_s: float
    sampled: float = 0.0


class StepTimes(NamedTuple):
    """Seconds of one rank for an update, as they were measured.

    Attributes:
        read_s: getting the batch.
        decide_s: deciding the shares, on rank 0.
        idle_s: between these and the first micro-batch, waiting for the shares.
        optimizer_s: optimizer's step of the update before, which comes after its report.
        backward_s, backward_cpu_s: forward and backward of all micro-batches: by the clock, and
            CPU time of the main thread.
        tokens_s: of backward_s, the micro-batches alone.
    """

    read_s: float
    decide_s: float
    idle_s: float
    optimizer_s: float
    backward_s: float = 0.0
    backward_cpu_s: float = 0.0
    tokens_s: float = 0.0

    def report(
        self, loss: float, reduction: Reduction, asked: int, sampled: float = 0.0
    ) -> StepReport:
        """The report of these times.

        A rank that gets a part of a core takes longer by the clock for its share of the reduction,
        too: its CPU seconds there are stretched as those of its micro-batches were.
        """
        stretch = max(self.backward_s / max(self.backward_cpu_s, 1e-9), 1.0)
        reduction_s = min(reduction.own_s * stretch, reduction.seconds)
        compute_s = (self.read_s + self.decide_s + self.backward_s + reduction_s
                     + self.optimizer_s)
        return StepReport(
            loss=loss, broken=float(not reduction.finite), asked=float(asked),
            compute_s=compute_s, wait_s=self.idle_s + reduction.seconds - reduction_s,
            reduction_s=reduction_s, fixed_s=compute_s - reduction_s - self.tokens_s,
            sampled=sampled)
