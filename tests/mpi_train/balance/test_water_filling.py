"""Shares from known lines: exact, fair to caps, and whole."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mpi_train.balance.water_filling import (
    Array,
    check_caps,
    proportional,
    water_fill,
    whole_shares,
)

SECONDS = st.floats(0, 10)
PACE = st.floats(0.01, 10)


def lines_of(most: int, least: int = 1) -> st.SearchStrategy[Array]:
    """a and b, (2, R)."""
    return st.lists(st.tuples(SECONDS, PACE), min_size=least, max_size=most).map(
        lambda rows: np.array(rows).T
    )


LINES = lines_of(6)
COST = st.floats(0.1, 1000)


def caps_of(ranks: int) -> st.SearchStrategy[Array]:
    """Caps that leave room for everything."""
    return st.lists(st.floats(0, 1), min_size=ranks, max_size=ranks).map(np.array).filter(
        lambda caps: caps.sum() >= 1.001
    )


def by_bisection(a: Array, b: Array, cost: float, most: Array) -> float:
    """T, found the slow way."""
    low, high = 0.0, float((a + b * cost).max())
    for _ in range(200):
        middle = (low + high) / 2
        given = np.minimum(np.maximum((middle - a) / b, 0), most).sum()
        low, high = (low, middle) if given >= cost else (middle, high)
    return high


@given(LINES, COST)
def test_shares_are_never_negative_and_add_up_to_the_cost(lines: Array, cost: float) -> None:
    x, _ = water_fill(lines[0], lines[1], cost)
    assert (x >= 0).all()
    assert x.sum() == pytest.approx(cost)


@given(LINES, COST)
def test_all_ranks_with_a_share_finish_at_the_same_time(lines: Array, cost: float) -> None:
    (a, b), (x, level) = lines, water_fill(lines[0], lines[1], cost)
    assert (a + b * x)[x > 0] == pytest.approx(level, rel=1e-6)
    assert (a[x == 0] >= level * (1 - 1e-9)).all()


@given(LINES, COST, st.data())
def test_with_caps_the_step_time_is_the_one_bisection_finds(
    lines: Array, cost: float, data: st.DataObject
) -> None:
    a, b = lines
    caps = data.draw(caps_of(len(a)))
    x, level = water_fill(a, b, cost, caps)
    assert (x <= caps * cost).all()
    assert x.sum() == pytest.approx(cost)
    assert level == pytest.approx(by_bisection(a, b, cost, caps * cost), rel=1e-6)


@given(lines_of(3, least=2), st.integers(1, 12))
def test_no_whole_split_is_faster(lines: Array, cost: int) -> None:
    a, b = lines
    _, level = water_fill(a, b, cost)
    for split in np.ndindex(*[cost + 1] * len(a)):
        if sum(split) == cost:
            x = np.array(split)
            assert (a + b * x)[x > 0].max() >= level * (1 - 1e-9)


@given(LINES, COST, st.data())
def test_a_rank_that_turns_faster_never_gets_less(
    lines: Array, cost: float, data: st.DataObject
) -> None:
    a, b = lines
    rank = data.draw(st.integers(0, len(a) - 1))
    faster = np.where(np.arange(len(a)) == rank, data.draw(st.floats(0.1, 1)), 1.0)
    before, _ = water_fill(a, b, cost)
    after, _ = water_fill(a * faster, b * faster, cost)
    assert after[rank] >= before[rank] * (1 - 1e-6)


@given(LINES, COST)
def test_equal_shares_come_of_equal_ranks(lines: Array, cost: float) -> None:
    (a, *_), (b, *_) = lines
    x, _ = water_fill(np.full(5, a), np.full(5, b), cost)
    assert x == pytest.approx(np.full(5, cost / 5))


def test_caps_that_are_just_enough_are_all_used() -> None:
    x, level = water_fill(np.zeros(3), np.array([1.0, 1, 8]), 12, np.array([0.5, 0.25, 0.25]))
    assert x.tolist() == [6, 3, 3]
    assert level == 24


def test_caps_below_one_are_refused_with_their_sum() -> None:
    with pytest.raises(ValueError, match=r"add up to 0\.9: at least 1"):
        check_caps([0.4, 0.5], 2)


@pytest.mark.parametrize("caps", [[0.5, -0.5, 1], [0.5, 0.5, 1.5], [1, 1, float("nan")]])
def test_a_cap_is_a_fraction(caps: list[float]) -> None:
    with pytest.raises(ValueError, match="fractions from 0 to 1"):
        check_caps(caps, 3)


def test_every_rank_needs_a_cap() -> None:
    with pytest.raises(ValueError, match="2 caps for 3 ranks"):
        check_caps([0.5, 0.5], 3)


def test_proportional_shares_follow_tokens_per_second() -> None:
    assert proportional(np.array([10.0, 10]), np.array([1.0, 4])).tolist() == [0.8, 0.2]


RATIOS = st.lists(st.floats(0, 1e6), min_size=1, max_size=9).filter(lambda r: max(r) > 1e-3)


@given(RATIOS, st.integers(0, 10_000))
def test_whole_shares_add_up_and_stay_within_one_of_the_ratio(
    ratios: list[float], total: int
) -> None:
    shares = whole_shares(ratios, total)
    assert shares.sum() == total
    assert (np.abs(shares - np.array(ratios) / sum(ratios) * total) < 1 + 1e-6).all()


@given(RATIOS, st.integers(0, 100), st.integers(1, 5))
def test_whole_shares_give_everyone_the_minimum(
    ratios: list[float], total: int, minimum: int
) -> None:
    assume(total >= minimum * len(ratios))
    shares = whole_shares(ratios, total, minimum)
    assert shares.sum() == total
    assert shares.min() >= minimum


def test_too_few_reviews_for_the_minimum_is_said() -> None:
    with pytest.raises(ValueError, match="3 reviews are too few for 4 ranks"):
        whole_shares([1, 1, 1, 1], 3, minimum=1)


@pytest.mark.parametrize("ratios", [[0, 0], [1, -1], [1, float("nan")], []])
def test_ratios_that_make_no_sense_are_refused(ratios: list[float]) -> None:
    with pytest.raises(ValueError, match="not all 0"):
        whole_shares(ratios, 10)
