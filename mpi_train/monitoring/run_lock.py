"""Lock of a run folder: one start at a time writes into it.

The lock is a file that only one process can make (O_EXCL), since disks that hosts share may lack
other locks. Its holder sets the file's time anew; a lock that nobody renews is not held.
"""

import contextlib
import json
import os
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path

from mpi_train.exchange.watchdog import ProcessIdentity, own_identity
from reviews.errors import UserError
from reviews.run_folder import LOCK
from reviews.storage.files import reason

RENEW_S = 10.0  # between two renewals
STALE_S = 60.0  # a lock that was not renewed for so long is not held any more


class RunLock:
    """Right of this process to write into a run folder.

    Args:
        run: the run folder, which is made where it is missing.
        host: name of this host.
    """

    def __init__(self, run: Path, host: str, renew_s: float = RENEW_S,
                 stale_s: float = STALE_S) -> None:
        self._file, self._own = run / LOCK, own_identity(host)
        self._renew_s, self._stale_s = renew_s, stale_s
        self._content = json.dumps(asdict(self._own)).encode()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """Take the lock. Raises UserError with host and process where another one holds it, or
        where nothing can be written."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            while not self._make():
                self._remove_stale()
        except OSError as error:
            raise UserError(f"{self._file.parent} cannot be written to: {reason(error)}") from None
        self._over.clear()
        self._thread = threading.Thread(target=self._renew, name="run lock", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the lock back, if this process holds it."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            if self._is_own():
                self._file.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise UserError where another process has taken the lock: this one was paused, or its
        host without a network, for so long that it seemed to be gone."""
        if not self._is_own():
            raise UserError(f"{self._file.parent} was taken over by another start")

    def _make(self) -> bool:
        """True when the lock was free; it appears with its content."""
        handle, name = tempfile.mkstemp(prefix=f"{LOCK}.", dir=self._file.parent)
        try:
            with open(handle, "wb") as file:
                file.write(self._content)
            try:
                os.link(name, self._file)
            except FileExistsError:
                return False
            except OSError:  # a disk without hard links
                return self._make_in_place()
            return True
        finally:
            os.unlink(name)

    def _make_in_place(self) -> bool:
        try:
            with open(self._file, "xb") as file:
                file.write(self._content)
        except FileExistsError:
            return False
        return True

    def _remove_stale(self) -> None:
        """Remove a lock that nobody holds any more; UserError where somebody does."""
        try:
            content = self._file.read_bytes()
            silent_s = self._now() - self._file.stat().st_mtime
        except FileNotFoundError:
            return
        holder = _holder(content)
        if self._is_held(holder, silent_s):
            by = f" by process {holder.pid} on {holder.host}" if holder else ""
            raise UserError(f"{self._file.parent} is in use{by}: end that run first, or, if it is "
                            f"gone, wait for {self._stale_s:.0f} s")
        # Of several that find it stale, one moves it away.
        aside = self._file.with_name(f"{LOCK}.{os.urandom(8).hex()}")
        with contextlib.suppress(FileNotFoundError):
            self._file.rename(aside)
            if aside.read_bytes() != content:  # it was a new one already
                with contextlib.suppress(FileExistsError):
                    os.link(aside, self._file)
            aside.unlink()

    def _is_held(self, holder: ProcessIdentity | None, silent_s: float) -> bool:
        if holder is not None and holder.machine == self._own.machine:
            return holder.state() not in "ZX"  # one that is stopped will go on
        return silent_s < self._stale_s

    def _now(self) -> float:
        """Time by the clock of the disk, which is not that of this host."""
        with tempfile.NamedTemporaryFile(prefix=f"{LOCK}.", dir=self._file.parent) as file:
            return os.stat(file.name).st_mtime

    def _is_own(self) -> bool:
        try:
            return self._file.read_bytes() == self._content
        except FileNotFoundError:
            return False

    def _renew(self) -> None:
        while not self._over.wait(self._renew_s):
            # A disk that is away for a moment is asked again; `check` sees who holds the lock.
            with contextlib.suppress(OSError):
                if self._is_own():
                    os.utime(self._file)


def _holder(content: bytes) -> ProcessIdentity | None:
    """The process that wrote a lock; None where it cannot be read, as of a full disk."""
    try:
        return ProcessIdentity(**json.loads(content))
    except (ValueError, TypeError):
        return None
