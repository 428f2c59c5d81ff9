"""Learning curves: what a fit finds of curves that are known, and what its interval is worth."""

import numpy as np
import pytest

from compare.analysis.learning_curve import (
    FRACTIONS,
    LEAST_POINTS,
    Point,
    curves,
    fit,
    forecast,
    point_of,
)
from compare.statistics import binomial_error

ROWS = 16_000
AT = [*(round(part * ROWS) for part in FRACTIONS), ROWS]


def error_at(rows: float, a: float = 0.06, b: float = 1.5, c: float = 0.4) -> float:
    return a + b * rows ** -c


def points(noise: float = 0.0, seed: int = 0, **curve: float) -> list[Point]:
    draw = np.random.default_rng(seed).normal(size=len(AT)) * noise
    return [Point(rows, 1 - error_at(rows, **curve) + by, None, max(noise, 1e-5))
            for rows, by in zip(AT, draw, strict=True)]


@pytest.mark.parametrize("curve", [
    {}, {"a": 0.0}, {"a": 0.1, "b": 0.0}, {"a": 0.02, "b": 3.0, "c": 0.6}])
def test_a_curve_without_noise_is_continued(curve: dict[str, float]) -> None:
    found = forecast(points(**curve), 2 * ROWS)
    assert found is not None
    assert found["rows"] == 2 * ROWS
    assert found["accuracy"] == pytest.approx(1 - error_at(2 * ROWS, **curve), abs=7e-4)
    assert found["low"] <= found["accuracy"] + 1e-6
    assert found["accuracy"] <= found["high"] + 1e-6
    assert found["high"] - found["low"] < 1e-3


def test_an_interval_has_the_truth_in_it_about_as_often_as_it_says() -> None:
    truth = 1 - error_at(2 * ROWS)
    inside = 0
    for seed in range(100):
        found = forecast(points(noise=0.002, seed=seed), 2 * ROWS)
        assert found is not None
        inside += found["low"] <= truth <= found["high"]
    assert inside >= 88


def test_no_parameter_is_negative_where_accuracy_falls_with_data() -> None:
    a, b, _ = fit(np.array(AT, float), np.linspace(0.1, 0.2, len(AT)), np.ones(len(AT)))
    assert b == 0
    assert a == pytest.approx(0.15)


def test_too_few_points_have_no_forecast() -> None:
    assert forecast(points()[-LEAST_POINTS + 1:], ROWS) is None
    assert forecast([points()[0]] * 9, ROWS) is None


def test_a_point_has_the_noise_of_reviews_and_of_seeds() -> None:
    runs = [{"accuracy": accuracy, "n": 400} for accuracy in (0.88, 0.92)]
    found = point_of(100, runs)
    assert (found.rows, found.accuracy) == (100, pytest.approx(0.9))
    assert found.error == pytest.approx(np.hypot(binomial_error(0.9, 400), 0.02))
    assert point_of(100, runs[:1]).error == binomial_error(0.88, 400)


def test_curves_have_the_whole_comparison_as_their_last_point() -> None:
    def run(accuracy: float) -> dict[str, float]:
        return {"accuracy": accuracy, "n": 1000}

    smaller = {"bag": {100: [run(0.7)], 50: [run(0.6)], 200: [run(0.75)]}}
    bag, svm = curves(smaller, {"bag": [run(0.8)], "svm": [run(0.9)]}, 400)
    assert [point["rows"] for point in bag["points"]] == [50, 100, 200, 400]
    assert bag["forecast"]["rows"] == 800
    assert bag["forecast"]["accuracy"] > 0.8
    assert (len(svm["points"]), svm["forecast"]) == (1, None)
