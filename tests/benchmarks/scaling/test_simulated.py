"""Simulated nodes: from the rates of measured ones."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.projection import Rates
from benchmarks.scaling.measured import FILES, Updates
from benchmarks.scaling.points import STRONG, WEAK, Point
from benchmarks.scaling.simulated import (
    TrainingRates,
    prepare_point,
    score_point,
    train_point,
    training_rates,
)

RANKS = TrainingRates(speed=50_000, fixed_s=0.0, exchange_s=0.0, nodes=2, noise=0.0, tokens=100)
WORK = Rates({"gather": 60.0, "count": 10.0, "encode": 30.0}, spread_us=0.0, review_bytes=640.0,
             task_s=1.0, shared=1.0, stored=0.1, worked=0.5)


def updates(tokens: float, fixed_s: float, exchange_s: float, speed: float) -> Updates:
    """Updates of two ranks that follow the line, one of few and one of more tokens."""
    steps = [{"share_tokens": [x, x], "reduction_s": [exchange_s] * 2, "tokens": 2 * x,
              "compute_s": [fixed_s + exchange_s + x / speed] * 2, "reviews": x / 50}
             for x in (0.9 * tokens, 1.1 * tokens)]
    return Updates(steps, {})


def test_the_rates_are_those_of_the_line_through_both_kinds_of_scaling() -> None:
    found = training_rates({STRONG: updates(1000, 0.02, 0.005, 4000),
                            WEAK: updates(2000, 0.02, 0.005, 4000)}, 2)
    assert found.speed == pytest.approx(4000)
    assert found.fixed_s == pytest.approx(0.02)
    assert found.exchange_s == pytest.approx(0.005)
    assert found.noise == pytest.approx(0, abs=1e-9)
    assert found.tokens == pytest.approx(100)


def test_a_rank_s_part_of_the_exchange_is_that_of_a_ring() -> None:
    ranks = replace(RANKS, exchange_s=0.010)
    assert [ranks.exchange_of(n) for n in (1, 2, 4, 8)] == pytest.approx(
        [0, 0.010, 0.015, 0.0175])


def test_ranks_that_exchange_nothing_and_have_no_fixed_work_are_as_fast_as_their_number() -> None:
    one, eight = (train_point(RANKS, STRONG, 10_000, n, batch=1000) for n in (1, 8))
    assert not one.measured
    assert one.seconds == pytest.approx(10_000 * 100 / 50_000, rel=0.01)
    assert one.latency_s == pytest.approx(2.0, rel=0.02)
    assert one.seconds / eight.seconds == pytest.approx(8, rel=0.01)


def test_fixed_work_and_the_exchange_are_paid_for_by_every_update() -> None:
    ranks = replace(RANKS, fixed_s=0.05, exchange_s=0.05)
    found = train_point(ranks, STRONG, 10_000, 4, batch=1000)
    assert found.seconds == pytest.approx(10 * (0.5 + 0.05 + 0.075), rel=0.02)


def test_noise_makes_ranks_wait_for_the_slowest() -> None:
    calm, noisy = (train_point(replace(RANKS, noise=noise), WEAK, 10_000, 8, batch=1000)
                   for noise in (0.0, 0.1))
    assert noisy.reviews == calm.reviews == 80_000
    assert noisy.seconds > 1.05 * calm.seconds


def test_preparation_is_shared_as_far_as_there_are_files_and_partitions() -> None:
    small = [prepare_point(WORK, 0.5, STRONG, 10_000, n) for n in (1, 2, 8, 16)]
    # Of 100 microseconds a review the 60 of gather are for eight files, the rest for one shard.
    gather, rest = 10_000 * 60e-6, 10_000 * 40e-6
    assert [point.seconds for point in small] == pytest.approx(
        [0.5 + rest + gather / n for n in (1, 2, FILES, FILES)])
    assert all(point.latency_s == point.seconds and not point.measured for point in small)


def test_growing_work_has_more_files_and_partitions() -> None:
    one, four = (prepare_point(WORK, 0.0, WEAK, 1_000_000, n) for n in (1, 4))
    assert four.reviews == 4_000_000
    assert four.seconds == pytest.approx(one.seconds, rel=0.3)
    assert prepare_point(WORK, 0.0, STRONG, 4_000_000, 1).seconds == pytest.approx(
        4 * one.seconds)


@pytest.mark.parametrize(("law", "seconds"), [(STRONG, 1 + 8 / 8), (WEAK, 1 + 9.0)])
def test_scoring_is_a_start_and_equal_shares_of_the_rest(law: str, seconds: float) -> None:
    # Eight core seconds for 1,000 reviews; where the work grows, nine.
    own = [Point("score", STRONG, 1000, 2, 1000, 1 + 8 / 2, 0.003, True),
           Point("score", WEAK, 1000, 2, 2000, 1 + 9.0, 0.004, True)]
    found = score_point(own, 1.0, law, 1000, 8)
    assert found.seconds == pytest.approx(seconds)
    assert found.reviews == (1000 if law == STRONG else 8000)
    assert found.latency_s == (0.003 if law == STRONG else 0.004)
    assert np.isfinite(found.seconds) and not found.measured
