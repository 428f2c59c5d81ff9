"""Ctrl-C, SIGTERM and a closed terminal, for commands that must not leave machines running."""

import signal
from types import FrameType

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Signals that ask to end, while the block runs.

    They stop the block by KeyboardInterrupt. While `polite`, the first one only sets `asked`;
    while `ending`, none has an effect: what was started is being ended already.
    """

    def __init__(self) -> None:
        self.polite, self.ending = False, False
        self.asked = ""  # name of the first signal that came
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "Interrupts":
        for number in NUMBERS:
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup sets it
                self._previous[number] = signal.signal(number, self._came)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _came(self, number: int, _: FrameType | None) -> None:
        if self.ending:
            return
        first, self.asked = not self.asked, self.asked or signal.Signals(number).name
        if not (self.polite and first):
            raise KeyboardInterrupt
