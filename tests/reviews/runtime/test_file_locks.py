"""Locks hold where the disk has them, and are done without where it has none."""

import errno
import fcntl
from pathlib import Path
from typing import Any

import pytest

from reviews.runtime.file_locks import WITHOUT_LOCKS, lock_file


def test_a_file_is_locked_once_until_it_is_closed(tmp_path: Path) -> None:
    with open(tmp_path / "lock", "w") as one, open(tmp_path / "lock", "w") as other:
        assert lock_file(one, wait=False)
        with pytest.raises(BlockingIOError):
            lock_file(other, wait=False)
        one.close()
        assert lock_file(other, wait=False)


def failing(number: int) -> Any:
    def flock(*_: Any) -> None:
        raise OSError(number, "no lock")

    return flock


@pytest.mark.parametrize("number", WITHOUT_LOCKS)
def test_a_disk_without_locks_is_used_without(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(number))
    with open(tmp_path / "lock", "w") as file:
        assert not lock_file(file)


def test_any_other_error_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(errno.EIO))
    with open(tmp_path / "lock", "w") as file, pytest.raises(OSError, match="no lock"):
        lock_file(file)
