"""Measurement of the gradient noise scale during a run (`mpi_train.optimization.noise_scale`)."""

from typing import TYPE_CHECKING

import numpy as np

from mpi_train.data import Batch
from mpi_train.optimization.noise_scale import (
    GradientNoise,
    RowSample,
    draw_sample,
    estimate_noise,
)

if TYPE_CHECKING:
    from mpi_train.replica import Replica

Array = np.ndarray


class NoiseMeter:
    """Samples of updates; of each, a rank works on those reviews that lie in its part.

    Args:
        replica: the model of a run whose noise is measured, else None.
    """

    def __init__(self, replica: "Replica | None", seed: int) -> None:
        self._replica, self._seed = replica, seed
        self._sample = RowSample(np.zeros(0), np.zeros(0))

    def sample(self, batch: Batch, part: tuple[int, int], place: tuple[int, int]) -> float:
        """Squared norm of the signed sum over this rank's part of a sample; the gradient is
        undefined until the next backward pass.

        Args:
            part: positions (first, last) in the batch.
            place: (epoch, update).
        """
        if self._replica is None:
            return 0.0
        self._sample = draw_sample(self._seed, *place, len(batch.lengths))
        own = self._sample.part(*part)
        return self._replica.sampled_square(batch, own, place) if len(own.positions) else 0.0

    def estimate(self, rows: int, squares: Array) -> GradientNoise | None:
        """Estimates of an update, when the gradients are summed and not yet clipped; None where it
        was not measured, or where the sample's own gradient overflowed.

        Args:
            rows: reviews of the batch, n.
            squares: (R,) of the ranks' `sample`: of losses that are divided as the batch's.
        """
        drawn = len(self._sample.positions)
        if self._replica is None or not drawn or not np.isfinite(squares).all():
            return None
        of_one_review = float(np.sum(squares)) * rows**2 / drawn
        return estimate_noise(1, of_one_review, rows, self._replica.square())
