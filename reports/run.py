"""A run folder, read into one dataclass."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from reports.curve import Curve, Point
from reviews.errors import UserError
from reviews.run_folder import CONFIG, METRICS, RUN_FORMAT, SUMMARY, read_records

Record = dict[str, Any]


@dataclass
class Run:
    """Content of a run folder; files that are not there yet are empty."""

    path: Path
    config: Record = field(default_factory=dict)
    summary: Record = field(default_factory=dict)
    manifest: Record = field(default_factory=dict)  # of the store, without its list of files
    curve: Curve = field(default_factory=Curve)
    epochs: dict[int, Record] = field(default_factory=dict)
    evaluations: list[Record] = field(default_factory=list)
    calibration: Record = field(default_factory=dict)  # the latest of the model that is there
    failures: list[Record] = field(default_factory=list)  # those that no step followed
    recovered: list[Record] = field(default_factory=list)  # failures the run got over
    unreadable: int = 0  # lines of metrics.jsonl

    @property
    def finished(self) -> bool:
        """True when the training came to its end."""
        return bool(self.summary.get("finished"))

    @property
    def store(self) -> str | None:
        """Path of the store it trained on, as it was given."""
        path = self.summary.get("store", {}).get("path") or self.config.get("store")
        return str(path) if path else None

    @property
    def ranks(self) -> int | None:
        """Number of ranks of the latest steps."""
        if self.curve.points:
            return len(self.curve.points[-1].compute)
        return self.summary.get("ranks")

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of their indices."""
        if self.manifest.get("classes"):
            return [str(name) for name in self.manifest["classes"]]
        known = (e["f1"] for e in self.evaluations if isinstance(e.get("f1"), dict))
        return list(next(known, {}))

    @property
    def test(self) -> Record | None:
        """The latest evaluation on test reviews of the store."""
        found = [e for e in self.evaluations if e.get("split") == "test" and e.get("n")]
        return found[-1] if found else None

    @property
    def kept_epoch(self) -> int | None:
        """Epoch whose weights the model has: before the end, the best one, the first of equals."""
        scored = {
            number: epoch["validation"]["accuracy"]
            for number, epoch in self.epochs.items()
            if (epoch.get("validation") or {}).get("accuracy") is not None
        }
        # The summary names one even where nothing was validated: then it is the last.
        named = (self.summary.get("best") or {}).get("epoch")
        if named in scored:
            return int(named)
        return min(scored, key=lambda number: (-scored[number], number), default=None)

    @property
    def reviews_per_s(self) -> float | None:
        """Reviews trained on a second: the summary's figure, else that of all steps so far."""
        if self.summary.get("reviews_per_s"):
            return float(self.summary["reviews_per_s"])
        total = self.curve.total
        return total.reviews / total.seconds if total and total.seconds else None


def read_run(path: Path) -> Run:
    """Read a run folder, finished or not; UserError when it is not one."""
    if not path.is_dir():
        raise UserError(f"{path} is not a run: "
                        + ("it is a file" if path.exists() else "there is no such folder"))
    if not any((path / name).is_file() for name in (SUMMARY, METRICS)):
        raise UserError(f"{path} is not a run: it has neither {SUMMARY} nor {METRICS}")
    run = Run(path, config=_read_config(path / CONFIG))
    run.summary = _read_json(path / SUMMARY)
    version = run.summary.get("format", RUN_FORMAT)
    if version != RUN_FORMAT:
        raise UserError(f"{path} has the format {version}; this program reads {RUN_FORMAT}")
    run.manifest = run.summary.get("store", {}).get("manifest") or {}
    if not run.manifest and run.store:
        run.manifest = _read_json(Path(run.store) / "manifest.json")
    for record in read_records(path):  # streamed: memory does not grow with the number of steps
        try:
            _take(record or {}, run)
        except (ValueError, KeyError, TypeError, AttributeError):
            # A run that was killed, or is writing now, leaves a torn line.
            run.unreadable += 1
    return run


def _read_config(path: Path) -> Record:
    if not path.is_file():
        return {}
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        values = None
    if not isinstance(values, dict):
        raise UserError(f"{path} cannot be read: it is not a YAML mapping")
    return values


def _read_json(path: Path) -> Record:
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_bytes())
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise UserError(f"{path} cannot be read: it is not a JSON object")
    return values


def _take(record: Record, run: Run) -> None:
    kind = record["kind"]
    if kind == "step":
        run.curve.append(Point.of(record))
        run.recovered += run.failures
        run.failures = []
    elif kind == "epoch":
        run.epochs[int(record["epoch"])] = record
        run.calibration = {}  # of an earlier model
    elif kind == "evaluation":
        run.evaluations.append(record)
    elif kind == "calibration":
        run.calibration = record
    elif kind == "failure":
        run.failures.append(record)
