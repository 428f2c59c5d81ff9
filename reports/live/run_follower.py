"""Progress of a run, from the files of its folder alone, read on as they grow."""

import re
import time
from collections import deque
from pathlib import Path
from typing import Any

import yaml

from reviews.run_folder import CONFIG, LOG, METRICS, SUMMARY, parse_record

RECENT = 20  # updates that current figures are means of

Record = dict[str, Any]


class RunFollower:
    """Records that a run has written so far.

    Attributes:
        recent: the latest step records.
        epoch: the latest epoch record, or None.
        failure: the latest failure record that no step followed, or None.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._forget()

    def _forget(self) -> None:
        self._offset = 0
        self.recent: deque[Record] = deque(maxlen=RECENT)
        self.epoch: Record | None = None
        self.failure: Record | None = None

    def read(self) -> None:
        """Take in what is new; whole lines alone. A resume drops lines: then all is new."""
        file = self._run / METRICS
        if not file.is_file():
            return
        with file.open("rb") as lines:
            if file.stat().st_size < self._offset:
                self._forget()
            lines.seek(self._offset)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self._take(parse_record(line))

    def _take(self, record: Record | None) -> None:
        kind = record["kind"] if record else ""
        if kind == "step":
            self.recent.append(record or {})
            self.failure = None
        elif kind == "epoch":
            self.epoch = record
        elif kind == "failure":
            self.failure = record

    @property
    def finished(self) -> bool:
        """True when the training came to its end."""
        return (self._run / SUMMARY).is_file()

    @property
    def silent_s(self) -> float | None:
        """Seconds since the last line; None before the first."""
        file = self._run / METRICS
        return max(0.0, time.time() - file.stat().st_mtime) if file.is_file() else None

    @property
    def step(self) -> int:
        """Number of updates done."""
        return int(self.recent[-1]["step"]) if self.recent else 0

    def total(self) -> int | None:
        """Number of updates of the whole run; None where the log does not say it."""
        log = self._run / LOG
        text = log.read_text("utf-8") if log.is_file() else ""
        found = re.findall(r"([\d,]+) updates an epoch", text)
        config = self.config()
        if not found or not config:
            return None
        updates = int(found[-1].replace(",", "")) * int(config.get("epochs", 1))
        most = int(config.get("max_steps", 0))
        return min(updates, most) if most else updates

    def config(self) -> Record:
        """Options of the run; empty before they are there."""
        file = self._run / CONFIG
        values = yaml.safe_load(file.read_text("utf-8")) if file.is_file() else None
        return values if isinstance(values, dict) else {}
