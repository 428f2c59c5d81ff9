"""Rows of a store as a model reads them."""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Rows:
    """Some reviews."""

    tokens: Array  # (n, T) uint16 or uint32, right-padded
    lengths: Array  # (n,) int64
    labels: Array  # (n,) uint8
    features: Array | None = None  # (n, F) float32, where a model reads them
    ids: Array | None = None  # (n,) uint64, review_id, where they are asked for
    teacher: Array | None = None  # (n,) or (n, C) float32, logits of a teacher, where there is one

    def take(self, rows: Array) -> "Rows":
        """These rows, with no more padding than their longest needs."""
        lengths = self.lengths[rows]
        width = int(lengths.max()) if len(rows) else 0
        return Rows(self.tokens[rows, :width], lengths, self.labels[rows], *self._others(rows))

    def pick(self, rows: Array) -> "Rows":
        """These rows, padded as before."""
        return Rows(self.tokens[rows], self.lengths[rows], self.labels[rows], *self._others(rows))

    def _others(self, rows: Array) -> list[Array | None]:
        return [None if column is None else column[rows]
                for column in (self.features, self.ids, self.teacher)]
