"""Probabilities -> labels: the most probable class, a threshold, or a third answer."""

from dataclasses import dataclass

import numpy as np

from reviews.errors import UserError

Array = np.ndarray
UNSURE = "unsure"


@dataclass(frozen=True)
class Decision:
    """Rule from probabilities to labels.

    threshold: lowest probability of the second of two classes for its label.
    unsure: from the first to below the second of these probabilities, the label is UNSURE.
    """

    classes: tuple[str, ...]
    threshold: float | None = None
    unsure: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and self.unsure is not None:
            raise UserError("give either --threshold or --unsure")
        bounds = self.unsure or ()
        if self.unsure is not None and (len(bounds) != 2 or bounds[0] >= bounds[1]):
            raise UserError("--unsure wants two probabilities, such as 0.4,0.6")
        if any(not 0 <= bound <= 1 for bound in (*bounds, self.threshold or 0)):
            raise UserError("--threshold and --unsure are probabilities, 0 to 1")
        if len(self.classes) != 2 and (self.threshold is not None or bounds):
            raise UserError("--threshold and --unsure are for two classes; the model has "
                            + ", ".join(self.classes))

    @property
    def names(self) -> list[str]:
        """All labels that there can be."""
        return [*self.classes, *([UNSURE] if self.unsure is not None else [])]

    def labels(self, probabilities: Array) -> Array:
        """Names (n,) for probabilities (n, classes)."""
        names = np.array([*self.classes, UNSURE], object)
        second, chosen = probabilities[:, -1], probabilities.argmax(1)
        if self.unsure is not None:
            low, high = self.unsure
            chosen = np.where(second >= high, 1, np.where(second >= low, 2, 0))
        elif self.threshold is not None:
            chosen = (second >= self.threshold).astype(np.int64)
        found: Array = names[chosen]
        return found
