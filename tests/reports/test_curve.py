"""Any number of steps becomes a few hundred points, and nothing is lost in the sums."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.curve import POINTS, Curve, Point
from reports.html import count, duration, moment, percent, short


def step(number: int, loss: float = 0.5, ranks: int = 2) -> Point:
    return Point.of({
        "step": number, "loss": loss, "learning_rate": 1 / number, "reviews": 10 + number % 7,
        "step_s": 0.25, "shares": [1] * ranks, "share_tokens": [number + r for r in range(ranks)],
        "compute_s": [0.125] * ranks, "wait_s": [0.0625] * ranks,
    })


def curve_of(points: Sequence[Point]) -> Curve:
    curve = Curve()
    for point in points:
        curve.append(point)
    return curve


@given(st.integers(1, 6 * POINTS))
def test_sums_are_those_of_the_steps_and_points_are_bounded(steps: int) -> None:
    curve = curve_of([step(number) for number in range(1, steps + 1)])
    total = curve.total
    assert total is not None
    assert len(curve.points) <= POINTS
    assert (total.first, total.last, total.steps) == (1, steps, steps)
    assert total.reviews == sum(10 + number % 7 for number in range(1, steps + 1))
    assert total.seconds == steps * 0.25
    assert total.tokens == [sum(range(1, steps + 1)), sum(range(2, steps + 2))]
    assert math.isclose(total.mean_loss, 0.5)


@given(st.integers(1, 3 * POINTS))
def test_points_follow_one_another_without_a_gap(steps: int) -> None:
    points = curve_of([step(number) for number in range(1, steps + 1)]).points
    assert [point.first for point in points[1:]] == [point.last + 1 for point in points[:-1]]
    assert all(point.steps == point.last - point.first + 1 for point in points)
    assert len({point.steps for point in points[:-1]}) <= 1


@given(st.integers(1, 80), st.integers(1, 80), st.integers(1, 80))
def test_steps_done_again_replace_those_before(done: int, again: int, more: int) -> None:
    start = min(done, again)
    curve = curve_of([*[step(number, loss=9.0) for number in range(1, done + 1)],
                      *[step(number) for number in range(start, start + more)]])
    assert curve.last_step == start + more - 1
    assert [point.loss for point in curve.points] == [9.0] * (start - 1) + [0.5] * more


def test_losses_that_are_no_numbers_are_left_out_of_the_mean() -> None:
    total = curve_of([step(1, 1.0), step(2, math.nan), step(3, math.inf), step(4, 3.0)]).total
    assert total is not None
    assert (total.mean_loss, total.steps) == (2.0, 4)
    assert math.isnan(step(1, math.nan).mean_loss)


def test_the_number_of_ranks_may_change_on_the_way() -> None:
    total = curve_of([step(1, ranks=1), step(2, ranks=3)]).total
    assert total is not None
    assert total.tokens == [1 + 2, 3, 4]


@pytest.mark.parametrize(("fraction", "shown"), [
    (0.0, "0.0"), (1.0, "100.0"), (0.5, "50.0"), (0.0004, "< 0.1"), (0.9996, "> 99.9"),
    (0.0005001, "0.1"), (0.9994, "99.9"),
])
def test_what_is_not_all_or_nothing_is_not_rounded_to_it(fraction: float, shown: str) -> None:
    assert percent(fraction) == f"{shown}\N{NO-BREAK SPACE}%"


@given(st.floats(0, 1))
def test_a_percentage_is_right_to_its_last_digit(fraction: float) -> None:
    shown = percent(fraction).split()
    if shown[0] not in "<>":
        assert abs(float(shown[0]) - 100 * fraction) <= 0.05 + 1e-9


@pytest.mark.parametrize(("seconds", "shown"), [
    (0.04, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (60, "1 min 00 s"),
    (3599.4, "59 min 59 s"), (3599.6, "1 h 00 min"), (3600, "1 h 00 min"), (7384, "2 h 03 min"),
    (None, "–"),
])
def test_durations_never_have_60_of_a_unit(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(("number", "shown"), [
    (0, "0"), (950, "950"), (999.7, "1 k"), (1000, "1 k"), (12_500, "12.5 k"),
    (999_999, "1 M"), (3e9, "3 G"), (0.25, "0.25"),
])
def test_short_numbers_never_have_1000_of_a_unit(number: float, shown: str) -> None:
    assert short(number) == shown


def test_a_moment_is_written_as_people_do_and_other_texts_stay() -> None:
    assert moment("2026-11-21T09:52:22Z") == "2026-11-21 09:52 UTC"
    assert moment("yesterday") == "yesterday"


def test_no_number_is_a_dash() -> None:
    assert {count(None), percent(None), percent(math.nan), moment(None)} == {"–"}
