"""Time of an update by phase."""

import time

# data: waiting for reviews and laying out micro-batches. backward: with the gradients' zeroing
# before it, and setting free what the forward pass kept. exchange: summing gradients, waiting for
# other ranks, and their word on the update. rest: shares, the journal and all that has no name.
PHASES = ("data", "forward", "backward", "exchange", "optimizer", "rest")


class PhaseTimer:
    """A stop watch that never stands still: every second goes to some phase.

    On a GPU, whose work runs behind the program's, forward and backward are told apart only in
    so far as the program waits.
    """

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._seconds = dict.fromkeys(PHASES, 0.0)

    def mark(self, phase: str) -> None:
        """Count the time since the last mark for this phase."""
        now = time.perf_counter()
        self._seconds[phase] += now - self._last
        self._last = now

    def take(self) -> dict[str, float]:
        """The seconds of each phase since this was last asked."""
        self.mark("rest")
        taken, self._seconds = self._seconds, dict.fromkeys(PHASES, 0.0)
        return taken
