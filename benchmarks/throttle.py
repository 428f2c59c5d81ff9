"""Parts of a core for processes: CPU quotas of control groups, version 1 or 2, as root."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from reviews.errors import UserError

LEAST_PERIOD_US, LEAST_QUOTA_US = 10_000, 1_000
REMOVE_S = 10


def _controller() -> tuple[Path, int]:
    """Folder of the CPU quotas, and the version of cgroups; UserError where there is none."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup" and "cpu" in options.split(","):
            return Path(place), 1
        if kind == "cgroup2" and "cpu" in (Path(place) / "cgroup.controllers").read_text().split():
            return Path(place), 2
    raise UserError("no control groups for CPU quotas on this machine")


@contextlib.contextmanager
def quotas(parts: Sequence[float]) -> Iterator[list[Path]]:
    """Control groups with these parts of a core; a process goes into one by `join`.

    Raises UserError where this machine or user cannot have them. What still runs in them when
    the context ends is killed.
    """
    top, version = _controller()
    folders = [top / f"reviewmill-{os.getpid()}-{number}" for number in range(len(parts))]
    made: list[Path] = []
    try:
        try:
            if version == 2:
                (top / "cgroup.subtree_control").write_text("+cpu")
            for folder, part in zip(folders, parts, strict=True):
                folder.mkdir()
                made.append(folder)
                set_part(folder, part)
        except OSError as error:
            raise UserError(f"no CPU quotas here: {error}; they need root") from None
        yield folders
    finally:
        for folder in made:
            _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a control group, and end what an interrupted run has left in it."""
    deadline = time.monotonic() + REMOVE_S
    while True:
        for process in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
        try:
            return folder.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def set_part(folder: Path, part: float) -> None:
    """Give a control group this part of a core."""
    period = max(LEAST_PERIOD_US, round(LEAST_QUOTA_US / part))
    quota = round(part * period)
    if (folder / "cpu.max").exists():
        (folder / "cpu.max").write_text(f"{quota} {period}")
    else:
        (folder / "cpu.cfs_period_us").write_text(str(period))
        (folder / "cpu.cfs_quota_us").write_text(str(quota))


def join(folder: Path) -> None:
    """Put this process, with all its threads, into a control group."""
    (folder / "cgroup.procs").write_text(str(os.getpid()))
