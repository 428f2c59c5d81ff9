"""A thread of each rank that ends its process when the run cannot go on.

A rank that waits for another one sleeps in a semaphore, in MPI or in gloo, and none of these
notices in all cases that the other one is gone. This thread does, whatever the main thread is
waiting in: it looks at the processes of the run that it can see, which are those of its own host.
A process that is stopped, or slow, is not gone. Those of other hosts are looked after by the
launcher, and by the connections that break with them.
"""

import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from reviews.runtime.lifeline import FAILED, Lifeline

INTERVAL_S = 0.5  # between two looks
LOOK_S = 0.05  # the same, for a rank that has lost a connection
GRACE_S = 5.0  # in which a rank that lost another one may end by itself, with its own message

PACKAGE = str(Path(__file__).parents[1]) + os.sep  # mpi_train/
# Code in which a rank waits for other ranks, for as long as those need.
WAITING = (os.path.join(PACKAGE, "exchange", ""),
           os.path.join(PACKAGE, "balance", "share_coordinator.py"))


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, told from a later one of the same number.

    Attributes:
        machine: boot and process namespace, within which `pid` is the process's number.
        boot: boot of the machine, whose cores and GPUs all its processes share.
        started: start of the process, in clock ticks after the boot.
    """

    host: str
    machine: str
    pid: int
    started: int
    boot: str

    def state(self) -> str:
        """Letter of the process's state in /proc (proc(5)), for a process of this machine; Z when
        it has ended.
        """
        found = _stat(self.pid)
        return found[0] if found and found[1] == self.started else "Z"


def own_identity(host: str) -> ProcessIdentity:
    """This process, on the host of that name. Without /proc (Linux alone has it) it is on a machine
    of its own, so that nobody watches it."""
    found = _stat(os.getpid())
    if found is None:
        return ProcessIdentity(host, f"{host} {os.getpid()}", os.getpid(), 0, host)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return ProcessIdentity(host, f"{boot} {os.readlink('/proc/self/ns/pid')}", os.getpid(),
                           found[1], boot)


def _stat(pid: int) -> tuple[str, int] | None:
    """State and start of a process; None without one of this number."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before may hold anything
    return fields[0], int(fields[19])


class Watchdog:
    """Ends this process when a process of the run is gone, or when its main thread hangs.

    The main thread hangs when it stands at the same line for `stall_s` seconds, unless it waits
    there for other ranks. Time in which this process, or another of the host, is stopped does
    not count.

    Args:
        processes: of all ranks, in their order.
        rank: of this process.
        lifeline: by which the launcher hears that this process ends itself.
    """

    def __init__(
        self, processes: Sequence[ProcessIdentity], rank: int, lifeline: Lifeline
    ) -> None:
        own = processes[rank]
        self._lifeline = lifeline
        self._rank, self._parent = rank, os.getppid()
        self._peers = [(number, process) for number, process in enumerate(processes)
                       if process.machine == own.machine and process != own]
        self.stall_s = float("inf")
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The run is over on all ranks, or ends by itself: processes may go.

        The thread has ended when this returns. It holds frames of the main thread for a moment,
        and the interpreter must not end while it frees the tensors in them.
        """
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def lost(self, wait_s: float = 0) -> str:
        """The reason why the run cannot go on, or nothing when there is none within wait_s."""
        end = time.monotonic() + wait_s
        while not (reason := self._lost()) and time.monotonic() < end:
            time.sleep(LOOK_S)
        return reason

    def _watch(self) -> None:
        over, still_s, before = self._over, 0.0, time.monotonic()
        position: tuple[tuple[int, int], ...] = ()
        while not over.wait(INTERVAL_S):
            if reason := self._lost():
                if over.wait(GRACE_S):
                    return
                self._end(reason)
            now = time.monotonic()
            # This process was stopped, too, where a look came late.
            passed, before = min(now - before, 2 * INTERVAL_S), now
            here, waits = _main_thread()
            if here != position or waits or self._someone_is_stopped():
                position, still_s = here, 0.0
            else:
                still_s += passed
            if still_s > self.stall_s:
                faulthandler.dump_traceback()
                self._end(f"no progress for {self.stall_s / 60:g} minutes (--stall-minutes)")

    def _lost(self) -> str:
        if os.getppid() != self._parent:
            return f"the process {self._parent} that started it is gone"
        for number, process in self._peers:
            if process.state() in "ZX":
                return f"rank {number} (process {process.pid} on {process.host}) is gone"
        return ""

    def _someone_is_stopped(self) -> bool:
        return any(process.state() in "Tt" for _, process in self._peers)

    def _end(self, reason: str) -> None:
        self._lifeline.say(FAILED)
        # A launcher that was killed has taken standard error along.
        with contextlib.suppress(OSError):
            print(f"rank {self._rank} ends: {reason}", file=sys.stderr, flush=True)
        os._exit(1)


def _main_thread() -> tuple[tuple[tuple[int, int], ...], bool]:
    """Position of the main thread, and True where it waits for other ranks.

    Its frames are let go of before this returns: they hold tensors.
    """
    frame = sys._current_frames()[threading.main_thread().ident or 0]
    return _position(frame), _waits(frame)


def _position(frame: FrameType | None) -> tuple[tuple[int, int], ...]:
    """All calls that a thread is in, and how far each of them is."""
    found = []
    while frame is not None:
        found.append((id(frame.f_code), frame.f_lasti))
        frame = frame.f_back
    return tuple(found)


def _waits(frame: FrameType | None) -> bool:
    """True where the innermost code of the trainer that a thread is in waits for other ranks."""
    while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename.startswith(WAITING)
