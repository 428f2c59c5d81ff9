"""Gradient noise scale over updates: a ratio of means, known where it is above its noise."""

import pytest

from reviews.runtime.noise_sums import NoiseSums, suggested_batch


def test_sums_of_parts_are_those_of_the_whole() -> None:
    whole, parts = NoiseSums(), [NoiseSums(), NoiseSums()]
    for number, (norm, trace) in enumerate([(1.0, 40.0), (3.0, 20.0), (2.0, -5.0)]):
        whole.add(norm, trace)
        parts[number % 2].add(norm, trace)
    parts[0].merge(parts[1])
    assert parts[0] == whole
    assert (whole.updates, whole.squared_norm, whole.trace, whole.product) == (3, 6, 55, 90)


def test_a_gradient_below_its_noise_has_no_scale() -> None:
    sums = NoiseSums()
    assert sums.figures() is None
    for norm in (1.0, -1.0, 1.5):
        sums.add(norm, 100.0)
    figures = sums.figures()
    assert figures is not None
    assert figures["scale"] is figures["error"] is figures["batch_size"] is None
    assert figures["trace"] == pytest.approx(100)


def test_the_scale_is_the_ratio_of_means_not_the_mean_of_ratios() -> None:
    sums = NoiseSums()
    for norm, trace in [(1.0, 400.0), (3.0, 400.0), (2.0, 400.0)] * 10:
        sums.add(norm, trace)
    figures = sums.figures()
    assert figures is not None
    assert figures["scale"] == pytest.approx(200)
    assert figures["batch_size"] == 256


@pytest.mark.parametrize(
    ("scale", "batch"), [(0.0, 1), (1.0, 1), (90.0, 64), (91.0, 128), (1400.0, 1024)])
def test_the_suggested_batch_is_the_power_of_two_next_to_the_scale(
    scale: float, batch: int
) -> None:
    assert suggested_batch(scale) == batch
