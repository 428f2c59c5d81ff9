"""Progress of a job, on a line of the terminal or once a minute in a log."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

TERMINAL_S, LOG_S = 0.5, 60.0  # seconds between two lines
CLEAR = "\r\033[K"


class Progress:
    """Progress of a job over all tasks on this machine; tasks count, their driver shows it.

    The count lies in memory that forks share. Of tasks on a cluster the driver is told how many
    have ended.
    """

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._given, self._clock = stream, clock
        self._done = multiprocessing.Value("q", 0)
        self._reused = multiprocessing.Value("q", 0)
        self.added = 0  # by this process, to any job
        self._driver: int | None = None

    def begin(self, name: str, total: int, command: str = "prepare") -> None:
        """A job of so many bytes or pieces begins; the caller is its driver."""
        self._command = command
        self._driver = os.getpid()
        # Tasks that run in the driver have a stderr of their own.
        self._out = self._given or sys.stderr
        self._terminal = self._out.isatty()
        self._name, self._total = name, total
        self._done.value = self._reused.value = 0
        self._began = self._clock()
        # The first line comes at once on a terminal, and after a minute in a log.
        self._next = self._began + (0 if self._terminal else LOG_S)

    def add(self, amount: int) -> None:
        """So much more has been done."""
        with self._done.get_lock():
            self._done.value += amount
            self.added += amount
        self.show()

    def leave_out(self, amount: int) -> None:
        """So much need not be done, since an earlier run has done it."""
        with self._reused.get_lock():
            self._reused.value += amount
        self.show()

    def tell(self, done: int, total: int) -> None:
        """So many of all tasks of the job have ended, as the driver has found."""
        self._total, self._done.value = total, done
        self.show()

    def show(self) -> None:
        """A line, where it is the driver who asks and the last line is some time ago."""
        if os.getpid() != self._driver:
            return
        now = self._clock()
        if now < self._next:
            return
        self._next = now + (TERMINAL_S if self._terminal else LOG_S)
        # The size of compressed input is a guess.
        part = min(0.99, self._done.value / max(1, self._total - self._reused.value))
        text = f"{self._command}: {self._name}: {part:.0%}"
        if part:
            text += f", {left(self._began, now, part)} left"
        self._out.write(f"{CLEAR}{text}" if self._terminal else f"{text}\n")
        self._out.flush()

    def end(self) -> None:
        """The job is over; its line gives way to the next one."""
        if self._driver == os.getpid() and self._terminal:
            self._out.write(CLEAR)
            self._out.flush()
        self._driver = None


def left(began: float, now: float, part: float) -> str:
    """The time that is left when a part of all has taken from began to now."""
    seconds = round((now - began) * (1 - part) / part)
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds % 60:02d} s" if minutes else f"{seconds} s"


PROGRESS = Progress()
