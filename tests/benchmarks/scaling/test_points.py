"""Points of a scaling study: speed-ups against one node, and Amdahl's law."""

import numpy as np
import pytest

from benchmarks.scaling.points import STRONG, WEAK, Point, amdahl, entries, fit_amdahl


def point(nodes: int, seconds: float, law: str = STRONG, stage: str = "train",
          measured: bool = True) -> Point:
    reviews = 1000 * (nodes if law == WEAK else 1)
    return Point(stage, law, 1000, nodes, reviews, seconds, 0.1, measured)


def test_strong_scaling_is_by_the_time_of_the_same_work() -> None:
    one, four = entries([point(1, 8.0), point(4, 4.0)])
    assert (one["reviews_per_s"], one["speed_up"], one["efficiency"]) == (125, 1, 1)
    assert (four["reviews_per_s"], four["speed_up"], four["efficiency"]) == (250, 2, 0.5)


def test_weak_scaling_is_by_the_time_of_work_that_grows() -> None:
    _, four = entries([point(1, 8.0, WEAK), point(4, 10.0, WEAK)])
    assert (four["reviews"], four["reviews_per_s"]) == (4000, 400)
    assert (four["speed_up"], four["efficiency"]) == pytest.approx((3.2, 0.8))


def test_each_stage_is_compared_with_its_own_one_node() -> None:
    found = entries([point(1, 8.0), point(1, 2.0, stage="score"), point(2, 4.0),
                     point(2, 2.0, stage="score")])
    assert [entry["speed_up"] for entry in found] == [1, 1, 2, 1]


@pytest.mark.parametrize("serial", [0.0, 0.03, 0.4, 1.0])
def test_amdahl_s_law_is_found_in_times_that_follow_it(serial: float) -> None:
    nodes = [1, 2, 4, 8, 16]
    seconds = [30 * (serial + (1 - serial) / n) for n in nodes]
    assert fit_amdahl(nodes, seconds) == pytest.approx(serial, abs=1e-12)


def test_the_fit_is_the_least_squares_one_of_a_general_solver() -> None:
    nodes, seconds = [1, 2, 3, 4], [10.0, 6.2, 4.1, 3.9]
    share = 1 - 1 / np.array(nodes)
    wanted = np.linalg.lstsq(share[:, None], np.array(seconds) / 10 - 1 / np.array(nodes),
                             rcond=None)[0][0]
    assert fit_amdahl(nodes, seconds) == pytest.approx(wanted)


def test_times_that_no_serial_part_explains_have_the_nearest_one() -> None:
    assert fit_amdahl([1, 2, 4, 8], [8, 3, 1, 0.5]) == 0
    assert fit_amdahl([1, 2, 4, 8], [8, 9, 10, 11]) == 1


def test_three_counts_are_too_few_for_a_law() -> None:
    assert fit_amdahl([1, 2, 4], [4, 2, 1]) is None


def test_simulated_points_and_weak_scaling_are_not_fitted() -> None:
    few = [point(n, 8 / n, measured=n < 8) for n in (1, 2, 4, 8)]
    weak = [point(n, 8.0, WEAK) for n in (1, 2, 4, 8)]
    assert amdahl([*few, *weak]) == []
    enough = [point(n, 8 * (0.25 + 0.75 / n)) for n in (8, 4, 2, 1)]
    [fit] = amdahl([*enough, *weak])
    assert (fit["stage"], fit["size"]) == ("train", 1000)
    assert (fit["serial"], fit["limit"]) == pytest.approx((0.25, 4.0))


def test_work_without_a_serial_part_has_no_highest_speed_up() -> None:
    [fit] = amdahl([point(n, 8 / n) for n in (1, 2, 4, 8)])
    assert (fit["serial"], fit["limit"]) == (0, None)
