"""Gradient noise scale: unbiased estimates of its two parts, and their ratio with its error."""

import numpy as np
import pytest

from mpi_train.optimization.noise_scale import PART, ROWS, draw_sample, estimate_noise
from reviews.runtime.noise_sums import NoiseSums


@pytest.mark.parametrize(("small", "large"), [(1, 2), (1, 16_384), (100, 300)])
def test_expected_squares_give_what_they_are_made_of(small: int, large: int) -> None:
    found = estimate_noise(small, 3.0 + 50.0 / small, large, 3.0 + 50.0 / large)
    assert found == pytest.approx((3.0, 50.0))


def test_signed_sums_estimate_a_known_scale_within_its_error() -> None:
    rng = np.random.default_rng(0)
    n, d = 64, 40
    mean, deviation = rng.normal(size=d), rng.uniform(1, 5, d)
    true = float(np.sum(deviation**2) / np.sum(mean**2))
    ratios = []
    for _ in range(40):
        sums = NoiseSums()
        for update in range(60):
            rows = mean + deviation * rng.normal(size=(n, d))
            sample = draw_sample(1, 0, update * PART, n)
            own = [sample.part(0, 50), sample.part(50, 50), sample.part(50, n)]  # of three ranks
            squares = sum(
                float(np.sum((part.signs @ rows[part.positions]) ** 2)) for part in own)
            sums.add(*estimate_noise(1, squares / len(sample.positions), n,
                                     float(np.sum(rows.mean(0) ** 2))))
        figures = sums.figures()
        assert figures is not None
        ratios.append((figures["scale"], figures["error"]))
    scales, errors = np.array(ratios).T
    assert scales.mean() == pytest.approx(true, rel=0.05)
    assert scales.std() == pytest.approx(errors.mean(), rel=0.4)


@pytest.mark.parametrize("rows", [2, 5, 100, 1024, 16_384])
def test_samples_are_random_reviews_and_few(rows: int) -> None:
    drawn = [draw_sample(3, 1, update, rows) for update in range(2000)]
    assert sum(len(sample.positions) for sample in drawn) <= 2000 * rows / PART + ROWS
    measured = [sample for sample in drawn if len(sample.positions)]
    assert len(measured) > 1
    for sample in measured:
        assert len(sample.positions) == min(rows, ROWS)
        assert np.all(np.diff(sample.positions) > 0)
        assert 0 <= sample.positions[0] <= sample.positions[-1] < rows
        assert set(sample.signs.tolist()) <= {-1.0, 1.0}
    assert len({sample.signs.tobytes() for sample in measured}) > 1


def test_parts_make_up_the_sample() -> None:
    whole = draw_sample(0, 0, 0, 1000)
    parts = [whole.part(0, 700), whole.part(700, 700), whole.part(700, 1000)]
    assert np.array_equal(np.concatenate([part.positions for part in parts]), whole.positions)
    assert np.array_equal(np.concatenate([part.signs for part in parts]), whole.signs)
    assert len(parts[1].positions) == 0


def test_a_single_review_has_no_noise_to_measure() -> None:
    assert len(draw_sample(0, 0, 0, 1).positions) == 0
