"""A request to end: Ctrl-C, SIGTERM, a closed terminal (SIGHUP), or SIGUSR1, which job schedulers
send ahead of a kill.
"""

import signal
from collections.abc import Sequence
from types import FrameType, TracebackType

REQUESTS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


def heeded(numbers: Sequence[signal.Signals]) -> list[signal.Signals]:
    """The signals, without a SIGHUP that this process ignores: nohup asked for that."""
    return [number for number in numbers
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]


class StopSignals:
    """Inside `with`, the first request is remembered; a second one has its usual effect."""

    def __init__(self) -> None:
        self.signal = 0  # number of the request; 0: none

    def __enter__(self) -> "StopSignals":
        self._previous = {number: signal.signal(number, self._remember)
                          for number in heeded(REQUESTS)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _remember(self, number: int, _: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
