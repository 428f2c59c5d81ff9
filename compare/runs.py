"""Runs of a comparison: one system trained with one seed, evaluated, measured and kept.

Times are those of reading, training and scoring, without the start of the program.

A run's folder holds result.json, written last, predictions.parquet, log.txt and the model. A run
with its result.json is finished and not done again; any other begins anew.
"""

import functools
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compare import baselines
from compare.measure import CommandFailed, run_measured
from compare.ratings import FILE as RATINGS
from compare.ratings import rating_error
from compare.rows import column, fold_of, write_rows
from compare.systems import SYSTEMS
from reviews.metrics import evaluate_scores
from reviews.predictions import read_predictions, write_predictions
from reviews.run_folder import CHECKPOINTS, MODEL, SUMMARY
from reviews.storage.folders import write_atomically
from reviews.store import Store

Array = np.ndarray
RESULT, PREDICTIONS, LOG = "result.json", "predictions.parquet", "log.txt"


@dataclass(frozen=True)
class Failure:
    """A run that did not finish, and the reason in one line; `seed` is also that of its fold."""

    model: str
    seed: int
    reason: str


def run_folder(out: Path, model: str, seed: int) -> Path:
    """Folder of one run of the comparison in `out`; under cross-validation, the seed is the number
    of the fold, too."""
    return out / "runs" / f"{model}-{seed}"


@dataclass(frozen=True)
class Protocol:
    """Store, folder and training rows, the same for all runs of a comparison.

    positions: (n,) of the training split, the rows to train on, or to cut into folds.
    folds: number of folds of a cross-validation; 0 trains on all positions and tests on the test
        split.
    texts: file of the reviews' raw texts, if there is one.
    """

    store: Store
    out: Path
    positions: Array
    folds: int = 0
    texts: Path | None = None

    @property
    def split(self) -> str:
        """The split that is evaluated."""
        return "train" if self.folds else "test"

    @functools.cached_property
    def _ids(self) -> Array:
        return column(self.store, "train", "review_id")

    def held_out(self, fold: int) -> Array:
        """review_id of the rows that are tested on, but not trained on."""
        ids = self._ids[self.positions]
        found: Array = ids[fold_of(ids, self.folds) == fold]
        return found

    def rows(self, seed: int) -> Path | None:
        """File of a run's training rows, as `train --rows` takes it; None for the whole split."""
        positions, name = self.positions, "rows.parquet"
        if self.folds:
            positions = positions[fold_of(self._ids[positions], self.folds) != seed]
            name = f"rows-{seed}.parquet"
        elif len(positions) == len(self._ids):
            return None
        file = self.out / name
        if not file.is_file():
            write_rows(file, self._ids, positions)
        return file

    def commands(self, model: str, seed: int) -> tuple[list[str], list[str], Path]:
        """Commands of training and of evaluation, and the file that holds the weights."""
        folder, store = run_folder(self.out, model, seed), str(self.store.address)
        chosen_rows = self.rows(seed)
        rows = ["--rows", str(chosen_rows)] if chosen_rows else []
        chosen = SYSTEMS[model].options
        predictions = str(folder / PREDICTIONS)
        # -P: a module of the user's in the current folder does not take the place of one of ours.
        python = [sys.executable, "-P", "-m"]
        if chosen is None:
            own = [model, store, str(folder)]
            if SYSTEMS[model].raw:
                own += ["--texts", str(self.texts)]
            return ([*python, "compare.baselines", "train", *own, "--seed", str(seed), *rows],
                    [*python, "compare.baselines", "evaluate", *own, "--split", self.split,
                     "--predictions", predictions], folder / baselines.MODEL)
        run = folder / "run"
        return ([*python, "reviewmill", "train", store, "--out", str(run), "--ranks", "1",
                 "--seed", str(seed), *chosen, *rows],
                [*python, "reviewmill", "evaluate", str(run), "--store", store, "--split",
                 self.split, "--predictions", predictions, "--json"],
                run / MODEL / "weights.safetensors")


def run_all(
    protocol: Protocol, models: Sequence[str], seeds: int
) -> Iterator[dict[str, Any] | Failure]:
    """Results of all runs, one after another, so that none takes another's cores; those of
    earlier calls as they were kept. A run that fails leaves the rest."""
    runs = [(model, seed) for model in models
            for seed in range(protocol.folds or (seeds if SYSTEMS[model].seeded else 1))]
    unit = "fold" if protocol.folds else "seed"
    for number, (model, seed) in enumerate(runs, 1):
        kept = run_folder(protocol.out, model, seed) / RESULT
        if kept.is_file():
            yield json.loads(kept.read_bytes())
            continue
        try:
            yield run(protocol, model, seed, f"run {number} of {len(runs)}, {model}, {unit} {seed}")
        except CommandFailed as error:
            yield Failure(model, seed, str(error))


def run(protocol: Protocol, model: str, seed: int, name: str) -> dict[str, Any]:
    """Train and evaluate one system; keep and return its result. CommandFailed where it fails.

    Args:
        name: of the run, in its progress.
    """
    folder = run_folder(protocol.out, model, seed)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    train, evaluate, weights = protocol.commands(model, seed)
    training = run_measured(train, folder / LOG, f"{name}, training")
    evaluation = run_measured(evaluate, folder / LOG, f"{name}, evaluation")
    if SYSTEMS[model].options is None:
        train_s = json.loads(training.last_line)["seconds"]
    else:
        train_s = json.loads((folder / "run" / SUMMARY).read_bytes())["seconds"]
    shutil.rmtree(folder / "run" / CHECKPOINTS, ignore_errors=True)
    classes = protocol.store.classes
    ids, labels, logits = read_predictions(folder / PREDICTIONS, classes)
    scored, tested = len(ids), None
    if protocol.folds:
        tested = protocol.held_out(seed)
        mine = np.isin(ids, tested)
        ids, labels, logits = ids[mine], labels[mine], logits[mine]
        write_predictions(str(folder / PREDICTIONS), ids, labels, logits, classes)
    figures = evaluate_scores(labels, logits, classes)
    result = {
        "model": model,
        "seed": seed,
        **{name: figures[name] for name in ("n", "accuracy", "f1_macro", "roc_auc",
                                            "confusion_matrix")},
        **rating_error(folder / RATINGS, tested),
        "train_s": train_s,
        "reviews_per_s": scored / json.loads(evaluation.last_line)["seconds"],
        "bytes": weights.stat().st_size,
        "peak_bytes": max(training.peak_bytes, evaluation.peak_bytes),
    }
    write_atomically(folder / RESULT, json.dumps(result, indent=1).encode() + b"\n")
    return result
