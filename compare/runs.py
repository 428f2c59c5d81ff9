"""Runs of a comparison: one system trained with one seed, evaluated, measured and kept.

Times are those of reading, training and scoring, without the start of the program.

A run's folder holds result.json, written last, predictions.parquet, log.txt and the model. A run
with its result.json is finished and not done again; any other begins anew.
"""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compare import baselines
from compare.measure import CommandFailed, run_measured
from compare.systems import SYSTEMS
from reviews.metrics import evaluate_scores
from reviews.predictions import read_predictions
from reviews.run_folder import CHECKPOINTS, MODEL, SUMMARY
from reviews.storage.folders import write_atomically
from reviews.store import Store

RESULT, PREDICTIONS, LOG = "result.json", "predictions.parquet", "log.txt"


@dataclass(frozen=True)
class Failure:
    """A run that did not finish, and the reason in one line."""

    model: str
    seed: int
    reason: str


def run_folder(out: Path, model: str, seed: int) -> Path:
    """Folder of one run of the comparison in `out`."""
    return out / "runs" / f"{model}-{seed}"


@dataclass(frozen=True)
class Protocol:
    """Store, folder and training rows, the same for all runs of a comparison.

    rows: file of the training rows, as `train --rows` takes it; None for all of them.
    """

    store: Store
    out: Path
    rows: Path | None

    def commands(self, model: str, seed: int) -> tuple[list[str], list[str], Path]:
        """Commands of training and of evaluation, and the file that holds the weights."""
        folder, store = run_folder(self.out, model, seed), str(self.store.address)
        chosen = SYSTEMS[model].options
        predictions = str(folder / PREDICTIONS)
        # -P: a module of the user's in the current folder does not take the place of one of ours.
        python = [sys.executable, "-P", "-m"]
        if chosen is None:
            rows = [str(self.rows)] if self.rows else []
            own = [model, store, str(folder)]
            return ([*python, "compare.baselines", "train", *own, str(seed), *rows],
                    [*python, "compare.baselines", "evaluate", *own, predictions],
                    folder / baselines.MODEL)
        run = folder / "run"
        rows = ["--rows", str(self.rows)] if self.rows else []
        return ([*python, "reviewmill", "train", store, "--out", str(run), "--ranks", "1",
                 "--seed", str(seed), *chosen, *rows],
                [*python, "reviewmill", "evaluate", str(run), "--store", store,
                 "--predictions", predictions, "--json"], run / MODEL / "weights.safetensors")


def run_all(
    protocol: Protocol, models: Sequence[str], seeds: int
) -> Iterator[dict[str, Any] | Failure]:
    """Results of all runs, one after another, so that none takes another's cores; those of
    earlier calls as they were kept. A run that fails leaves the rest."""
    for model in models:
        for seed in range(seeds if SYSTEMS[model].seeded else 1):
            kept = run_folder(protocol.out, model, seed) / RESULT
            if kept.is_file():
                yield json.loads(kept.read_bytes())
                continue
            try:
                yield run(protocol, model, seed)
            except CommandFailed as error:
                yield Failure(model, seed, str(error))


def run(protocol: Protocol, model: str, seed: int) -> dict[str, Any]:
    """Train and evaluate one system; keep and return its result. CommandFailed where it fails."""
    folder = run_folder(protocol.out, model, seed)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    train, evaluate, weights = protocol.commands(model, seed)
    training = run_measured(train, folder / LOG)
    evaluation = run_measured(evaluate, folder / LOG)
    if SYSTEMS[model].options is None:
        train_s = json.loads(training.last_line)["seconds"]
    else:
        train_s = json.loads((folder / "run" / SUMMARY).read_bytes())["seconds"]
    shutil.rmtree(folder / "run" / CHECKPOINTS, ignore_errors=True)
    classes = protocol.store.classes
    _, labels, logits = read_predictions(folder / PREDICTIONS, classes)
    figures = evaluate_scores(labels, logits, classes)
    result = {
        "model": model,
        "seed": seed,
        **{name: figures[name] for name in ("n", "accuracy", "f1_macro", "roc_auc",
                                            "confusion_matrix")},
        "train_s": train_s,
        "reviews_per_s": len(labels) / json.loads(evaluation.last_line)["seconds"],
        "bytes": weights.stat().st_size,
        "peak_bytes": max(training.peak_bytes, evaluation.peak_bytes),
    }
    write_atomically(folder / RESULT, json.dumps(result, indent=1).encode() + b"\n")
    return result
