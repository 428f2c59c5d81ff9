"""Figures of the records of a run, by name, as a tracker takes them."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from reviews.run_folder import CONFIG, METRICS, parse_record

STEP = ("loss", "learning_rate", "reviews_per_s", "efficiency")
PER_RANK = ("shares", "compute_s", "wait_s")
RESOURCES = ("cpu_percent", "memory_bytes", "gpu_percent", "gpu_memory_bytes")
SCORES = ("loss", "accuracy", "f1_macro", "roc_auc")


class Scalars(NamedTuple):
    """Figures at one update; `time` is in seconds since 1970."""

    step: int
    time: float
    values: dict[str, float]


class ScalarReader:
    """Reads the figures of a run on as it grows; whole lines alone.

    An update that was read is not read again, though a resumed run did it again.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._offset, self._step = 0, 0
        self._epoch = -1
        self._time = (run / CONFIG).stat().st_mtime  # of the start; records have durations alone

    def new(self) -> Iterator[Scalars]:
        """The figures since the last call."""
        file = self._run / METRICS
        if not file.is_file():
            return
        with file.open("rb") as lines:
            if file.stat().st_size < self._offset:
                self._offset = 0  # a resumed run dropped lines
            lines.seek(self._offset)
            for line in lines:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                record = parse_record(line)
                if record is not None:
                    yield from self._take(record)

    def _take(self, record: Mapping[str, Any]) -> Iterator[Scalars]:
        kind = record["kind"]
        if kind == "step" and record["step"] > self._step:
            self._step, self._time = record["step"], self._time + record["step_s"]
            yield Scalars(self._step, self._time, of_step(record))
        elif kind == "epoch" and record["epoch"] > self._epoch:
            self._epoch = record["epoch"]
            scores = record.get("validation") or {}
            yield Scalars(record["step"], self._time, {
                "epoch/loss": record["loss"], **_scores("validation", scores),
                **{f"rank_{rank}/{name}": value for name in RESOURCES
                   for rank, value in enumerate(record.get(name) or []) if value is not None}})
        elif kind == "evaluation":
            yield Scalars(self._step, self._time, _scores(str(record.get("split")), record))


def of_step(record: Mapping[str, Any]) -> dict[str, float]:
    """The figures of an update, those of each rank too where there are several."""
    values = {f"train/{name}": record[name] for name in STEP if record.get(name) is not None}
    for name in PER_RANK:
        if len(record[name]) > 1:
            values |= {f"rank_{rank}/{name}": value for rank, value in enumerate(record[name])}
    return values


def _scores(where: str, record: Mapping[str, Any]) -> dict[str, float]:
    return {f"{where}/{name}": record[name] for name in SCORES
            if isinstance(record.get(name), int | float) and math.isfinite(record[name])}
