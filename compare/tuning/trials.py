"""Trials of a search: trainings by `reviewmill train`, validated on rows that are held out.

A trial's folder has options.yaml, as `train --config` takes it, a run folder without its model for
each fold, log.txt, and result.json, written last. A trial without it begins anew.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from compare.rows import fold_of, write_rows
from compare.tuning.study import COMPLETE, FAILED, PRUNED, NextTrial, Trial
from reviews.run_folder import CHECKPOINTS, MODEL, read_records
from reviews.storage.folders import write_atomically

RESULT, OPTIONS, LOG = "result.json", "options.yaml", "log.txt"


@dataclass(frozen=True)
class Trainings:
    """Settings that all trainings of a search share.

    store: folder or address.
    out: folder of the search.
    folds: those of the sample's folds that are validated on; all others are trained on.
    base: options beneath those that are searched.
    keep, keep_by: of the training: the epoch that counts, and the metric.
    """

    store: str
    out: Path
    folds: Sequence[int]
    base: Mapping[str, Any]
    keep: str
    keep_by: str
    seed: int

    def rows(self, fold: int, kind: str) -> Path:
        """File of the rows that are trained on (`train`), or validated on (`validation`)."""
        return self.out / f"{kind}-{fold}.parquet"

    def folder(self, number: int) -> Path:
        """The folder of a trial."""
        return self.out / "trials" / f"{number:03d}"

    def command(self, number: int, fold: int) -> list[str]:
        """Command of a trial's training on a fold."""
        folder = self.folder(number)
        # -P: a module of the user's in the current folder does not take the place of one of ours.
        return [sys.executable, "-P", "-m", "reviewmill", "train", self.store,
                "--out", str(folder / f"fold-{fold}"), "--ranks", "1",
                "--config", str(folder / OPTIONS), "--seed", str(self.seed),
                "--rows", str(self.rows(fold, "train")),
                "--validation-rows", str(self.rows(fold, "validation"))]

    def best_of(self, values: Sequence[float]) -> float:
        """The metric of a training from those of its validations."""
        if self.keep != "best":
            return values[-1]
        return min(values) if self.keep_by == "loss" else max(values)


def write_folds(trainings: Trainings, ids: Any, positions: Any, folds: int) -> None:
    """Write the files of rows of all folds, where they are not there yet.

    Args:
        ids: review_id of the whole training split.
        positions: (n,) of the sample, which is cut into so many folds.
    """
    of_fold = fold_of(ids[positions], folds)
    for fold in trainings.folds:
        for kind, inside in (("train", of_fold != fold), ("validation", of_fold == fold)):
            if not trainings.rows(fold, kind).is_file():
                write_rows(trainings.rows(fold, kind), ids, positions[inside])


@dataclass
class _Progress:
    """Validations of a trial so far."""

    steps: list[tuple[int, float]] = field(default_factory=list)  # that could prune it
    values: list[float] = field(default_factory=list)  # of each fold that is done


def run_trial(trainings: Trainings, number: int, following: NextTrial) -> Trial:
    """Train and validate a trial on its folds, keep and return its result.

    Of several folds, the mean so far is what prunes; of one, the validation of each epoch.
    """
    folder = trainings.folder(number)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    options = {**trainings.base, **following.params}
    write_atomically(folder / OPTIONS, yaml.safe_dump(options, sort_keys=False).encode())
    started = time.perf_counter()
    progress, state, reason = _Progress(), COMPLETE, ""
    for fold in trainings.folds:
        state, reason = _train(trainings, number, fold, following, progress)
        if state != COMPLETE:
            break
    value = sum(progress.values) / len(progress.values) if progress.values else None
    if state == PRUNED:
        value = progress.steps[-1][1]
    result = Trial(
        number=number, params=following.params, state=state,
        value=None if state == FAILED else value, steps=progress.steps,
        seconds=time.perf_counter() - started, reason=reason)
    write_atomically(folder / RESULT, json.dumps(result, indent=1).encode() + b"\n")
    return result


def _train(
    trainings: Trainings, number: int, fold: int, following: NextTrial, progress: _Progress
) -> tuple[str, str]:
    """Train on a fold; the state of the trial behind it, and the reason for a failure."""
    run = trainings.folder(number) / f"fold-{fold}"
    alone = len(trainings.folds) == 1
    seen: list[float] = []

    def look(line: str) -> bool:
        """True where an epoch that the line may be about prunes the trial."""
        for epoch, value in list(validations(run, trainings.keep_by))[len(seen):]:
            seen.append(value)
            if alone:
                progress.steps.append((epoch, value))
                if following.report(epoch, value):
                    return True
        return False

    status, last = run_watched(trainings.command(number, fold),
                               trainings.folder(number) / LOG, look)
    for name in (CHECKPOINTS, MODEL):
        shutil.rmtree(run / name, ignore_errors=True)
    if status is None:
        return PRUNED, ""
    if status or not seen:
        return FAILED, last or f"ended with status {status}"
    progress.values.append(trainings.best_of(seen))
    if alone:
        return COMPLETE, ""
    mean, done = sum(progress.values) / len(progress.values), len(progress.values)
    progress.steps.append((done - 1, mean))
    pruned = following.report(done - 1, mean) and done < len(trainings.folds)
    return (PRUNED if pruned else COMPLETE), ""


def validations(run: Path, metric: str) -> Iterator[tuple[int, float]]:
    """Epoch and metric of each validation of a run."""
    for record in read_records(run):
        found = (record or {}).get("validation")
        if record and record["kind"] == "epoch" and found and found[metric] is not None:
            yield record["epoch"], found[metric]


def run_watched(
    command: Sequence[str], log: Path, look: Callable[[str], bool]
) -> tuple[int | None, str]:
    """Run a command with its output appended to a log; `look` sees each line of it, and ends the
    command where it returns True. The status, None for a command ended so, and the last line."""
    last = ""
    with (
        open(log, "ab") as output,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         stdin=subprocess.DEVNULL) as process,
    ):
        assert process.stdout
        try:
            for line in process.stdout:
                output.write(line)
                output.flush()
                last = line.decode(errors="replace").strip() or last
                if look(last):
                    process.kill()  # nothing of it is kept
                    return None, last
        except BaseException:
            process.kill()
            raise
    return process.returncode, last
