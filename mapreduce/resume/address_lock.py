"""Lock of an unfinished store at an address: a file that its holder writes anew all the time.

Nothing at an address goes with the process that made it. So who finds the file looks whether it
changes: where it does not, its holder was killed. Clocks of machines are not compared for that.
"""

import contextlib
import itertools
import json
import os
import platform
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mapreduce.findings import progress
from reviews.errors import UserError
from reviews.storage.folders import delete, read_whole, write_whole
from reviews.storage.repeated import repeated

BEAT_S = 3.0  # between two writings
SILENCE_S = 20.0  # after so long without one, the holder has ended


@contextlib.contextmanager
def held(path: str, what: str) -> Iterator[None]:
    """The lock at this address while the block runs.

    Raises UserError, which names what is locked, where another process has it. Two processes that
    ask for it in the same moment may both get it.
    """
    _refuse_while_held(path, what)
    mine = {"run": uuid.uuid4().hex, "system": _system(), "process": os.getpid()}
    beats = itertools.count()

    def beat() -> None:
        write_whole(path, json.dumps({**mine, "beat": next(beats)}).encode())

    def try_to_beat() -> None:
        with contextlib.suppress(UserError):  # the next one may reach it
            beat()

    beat()
    try:
        with repeated(try_to_beat, BEAT_S):
            yield
    finally:
        delete(path)


def _refuse_while_held(path: str, what: str) -> None:
    seen = _read(path)
    if seen is None or _has_ended(seen):
        return
    progress(f"{what} has the lock of another run; in {SILENCE_S:.0f} s it is seen whether that "
             "has ended")
    end = time.monotonic() + SILENCE_S
    while time.monotonic() < end:
        time.sleep(min(BEAT_S, SILENCE_S) / 2)
        now = _read(path)
        if now is None:
            return
        if now != seen:
            raise UserError(f"another prepare is writing {what}")


def _read(path: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(read_whole(path))
    except FileNotFoundError:
        return None
    return found


def _has_ended(seen: dict[str, Any]) -> bool:
    """True for a holder on this system that is no more; of another one nobody can say."""
    return bool(seen["system"] == _system()) and not Path("/proc", str(seen["process"])).exists()


def _system() -> str:
    """Mark that tells processes of the same number apart: of the start of the machine, and of the
    container; another one at each call where these are not known."""
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {start} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return uuid.uuid4().hex
