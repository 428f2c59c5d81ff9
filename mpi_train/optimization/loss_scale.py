"""Dynamic loss scaling (Micikevicius et al. 2018): gradients that float16 can hold."""

from typing import Self, TypedDict

from mpi_train.configuration.groups import LARGEST_LOSS_SCALE, RunOptions

SMALLEST = 1.0


class LossScaleState(TypedDict):
    """State of a loss scale between two updates.

    Attributes:
        value: the factor.
        finite: number of finite gradients since it changed.
        overflows: number of times that it was halved.
    """

    value: float
    finite: int
    overflows: int


class LossScale:
    """Factor of every loss before the backward pass, by which the summed gradient is divided.

    It is a power of two, and so changes no digit of a gradient, only which numbers are too small
    or too large for float16. Each rank keeps its own; all hear of the same overflows, and so have
    the same.

    Attributes:
        value: the factor; 1 for types that need none.
        overflows: number of times that it was halved.
    """

    def __init__(self, value: float = SMALLEST, window: int = 0) -> None:
        """window: number of finite gradients after which the factor doubles; 0: it stays."""
        self.value, self._window = value, window
        self._finite = self.overflows = 0

    @classmethod
    def of(cls, options: RunOptions) -> Self:
        """The loss scale that a run begins with."""
        if options.precision != "fp16":
            return cls()
        return cls(float(options.loss_scale), options.loss_scale_window)

    def halve(self) -> bool:
        """Halve it after a gradient that is not finite; False where it is the smallest already."""
        if self.value <= SMALLEST:
            return False
        self.value /= 2
        self._finite = 0
        self.overflows += 1
        return True

    def keep(self) -> None:
        """Count a finite gradient; double the factor after as many as the window has."""
        self._finite += 1
        if self._finite == self._window:
            self.value = min(2 * self.value, float(LARGEST_LOSS_SCALE))
            self._finite = 0

    def state(self) -> LossScaleState | None:
        """All of it, for a checkpoint or another rank; None for types that need no factor."""
        if not self._window:
            return None
        return {"value": self.value, "finite": self._finite, "overflows": self.overflows}

    def restore(self, value: float, finite: int, overflows: int) -> None:
        """Go on from a state."""
        self.value, self._finite, self.overflows = value, finite, overflows
