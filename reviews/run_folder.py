"""Run folder: names, versions and fields of the files of a training run (docs/run-format.md).

The trainer writes them, `evaluate` adds to them; reports and everybody else read them.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

RUN_FORMAT = "reviewmill-run/1"  # of summary.json
CHECKPOINT_FORMAT = "reviewmill-checkpoint/1"  # of a checkpoint's state.json

CONFIG, METRICS, LOG = "config.yaml", "metrics.jsonl", "log.txt"
SUMMARY, REPORT = "summary.json", "report.html"
TEACHER, TEACHER_LOGITS = "teacher.json", "teacher.npy"
CHECKPOINTS, MODEL, PROFILE = "checkpoints", "model", "profile"
LOCK = ".lock"  # of the start that writes now

# Everything that a run writes, and all that --overwrite removes.
RUN_FILES = (CONFIG, METRICS, LOG, SUMMARY, REPORT, TEACHER, TEACHER_LOGITS)
RUN_FOLDERS = (CHECKPOINTS, MODEL, PROFILE)


class StepRecord(TypedDict):
    """One update; lists have an entry for each rank."""

    kind: str
    step: int
    epoch: int
    loss: float
    learning_rate: float
    reviews: int
    tokens: int
    step_s: float
    reviews_per_s: float
    shares: list[int]
    share_tokens: list[int]
    compute_s: list[float]
    wait_s: list[float]
    reduction_s: list[float]
    predicted_s: float | None
    efficiency: float
    ceiling: float | None
    phases: dict[str, float]
    skipped: bool
    noise: NotRequired[dict[str, float]]
    loss_scale: NotRequired[float]
    overflows: NotRequired[int]


class EpochRecord(TypedDict):
    """The end of an epoch; lists have an entry for each rank."""

    kind: str
    epoch: int
    step: int
    loss: float
    reviews: int
    seconds: float
    reviews_per_s: float
    validation: dict[str, Any] | None
    cpu_percent: list[float]
    memory_bytes: list[int]
    gpu_percent: list[float | None]
    gpu_memory_bytes: list[int | None]
    noise_scale: NotRequired[dict[str, Any]]
    loss_scale: NotRequired[dict[str, Any]]


class RebalanceRecord(TypedDict):
    """A new division of the work; `a` and `b` are there under --balance dynamic."""

    kind: str
    step: int
    shares: list[int]
    share_tokens: list[int]


class FailureRecord(TypedDict):
    """An update that was not done, and why."""

    kind: str
    step: int
    epoch: int
    update: int
    reason: str


RECORDS = {"step": StepRecord, "epoch": EpochRecord, "rebalance": RebalanceRecord,
           "failure": FailureRecord}


def append_record(run: Path, kind: str, values: Mapping[str, Any]) -> None:
    """Append one line to a run's metrics.jsonl; lines of several writers do not mix."""
    with open(run / METRICS, "a", encoding="utf-8") as file:
        file.write(json.dumps({"kind": kind, **values}) + "\n")


def read_records(run: Path) -> Iterator[dict[str, Any] | None]:
    """Records of metrics.jsonl in order, one at a time; None for a line that is no record, such
    as the torn last line of a run that was killed. Nothing where the file is missing."""
    file = run / METRICS
    if not file.is_file():
        return
    with open(file, "rb") as lines:
        yield from map(parse_record, lines)


def parse_record(line: bytes) -> dict[str, Any] | None:
    """The record of a line of metrics.jsonl; None for a line that is no record."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "kind" in record else None


def noise_line(figures: Mapping[str, Any]) -> str:
    """Gradient noise scale of an epoch or a summary (their `noise_scale`) in words."""
    if figures["scale"] is None:
        return (f"gradient noise scale unknown: in {figures['updates']:,} measured updates the "
                "gradient does not rise above its noise")
    return (f"gradient noise scale {figures['scale']:,.0f} ± {figures['error']:,.0f} reviews, "
            f"which suggests batches of {figures['batch_size']:,}")


def loss_scale_line(state: Mapping[str, Any]) -> str:
    """Loss scale of an epoch or a summary (their `loss_scale`) in words."""
    return f"loss scale {state['value']:,.0f}, {state['overflows']:,} overflows so far"
