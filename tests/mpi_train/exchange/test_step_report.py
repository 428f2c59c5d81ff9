"""Report of an update: what a rank did itself, waited, and spent whatever the tokens."""

import pytest

from mpi_train.exchange.gradient_exchange import Reduction
from mpi_train.exchange.step_report import StepTimes

TIMES = StepTimes(read_s=1.0, decide_s=2.0, idle_s=4.0, backward_s=8.0, backward_cpu_s=8.0,
                  tokens_s=7.0, optimizer_s=16.0)


def test_compute_is_all_that_is_not_waiting() -> None:
    report = TIMES.report(0.5, Reduction(seconds=32.0, own_s=3.0, finite=True), asked=0)
    assert report.compute_s == 1 + 2 + 8 + 16 + 3
    assert report.reduction_s == 3
    assert report.wait_s == 4 + 32 - 3
    assert report.fixed_s == report.compute_s - 3 - 7
    assert (report.loss, report.broken, report.asked) == (0.5, 0, 0)


def test_all_seconds_of_an_update_are_in_one_of_the_two() -> None:
    report = TIMES.report(0.0, Reduction(32.0, 3.0, True), 0)
    passed = TIMES.read_s + TIMES.decide_s + TIMES.idle_s + TIMES.backward_s + 32
    assert report.compute_s + report.wait_s == passed + TIMES.optimizer_s


@pytest.mark.parametrize(("cpu_s", "own_s", "found"), [
    (8.0, 3.0, 3.0),  # a whole core
    (2.0, 3.0, 12.0),  # a quarter of one: the reduction took four times its CPU seconds
    (9.0, 3.0, 3.0),  # several threads
    (0.5, 3.0, 32.0),  # never more than the reduction took by the clock
])  # fmt: skip
def test_a_throttled_rank_is_slow_in_the_reduction_as_well(
    cpu_s: float, own_s: float, found: float
) -> None:
    times = TIMES._replace(backward_cpu_s=cpu_s)
    assert times.report(0.0, Reduction(32.0, own_s, True), 0).reduction_s == found


def test_a_gradient_that_is_no_number_and_a_signal_are_reported() -> None:
    report = TIMES.report(0.0, Reduction(1.0, 0.0, finite=False), asked=15)
    assert (report.broken, report.asked) == (1, 15)
