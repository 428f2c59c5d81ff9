"""`reviewmill compare`: models and baselines on one store under one protocol."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compare.output import accuracy_text, write_files
from compare.results import compare, summarize
from compare.rows import check_shards, column, draw_sample, write_rows
from compare.runs import PREDICTIONS, Failure, Protocol, run_all, run_folder
from compare.systems import SYSTEMS, check_systems
from reviews.errors import UserError
from reviews.options import make_parser
from reviews.predictions import read_predictions
from reviews.storage.files import is_remote
from reviews.storage.folders import write_atomically
from reviews.store import Store

FORMAT = "reviewmill-comparison/1"
PLAN, ROWS = "plan.json", "rows.parquet"
LEAST_OF_A_CLASS = 3  # training rows: one for each fold of the baselines' search


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is not finished, write the comparison; 1 where a run failed, else 0."""
    parser = make_parser("reviewmill compare", "Compare models and baselines on one store.")
    parser.add_argument("store", metavar="STORE", help="store to train and test on")
    parser.add_argument("--models", required=True, metavar="A,B,...",
                        help="models to compare: " + ", ".join(SYSTEMS))
    parser.add_argument("--out", required=True, metavar="FOLDER",
                        help="folder of the comparison; finished runs in it are kept")
    parser.add_argument("--seeds", type=int, default=5, metavar="N",
                        help="number of seeds of every model that has one (5)")
    parser.add_argument("--reference", metavar="NAME",
                        help="model that the others are tested against (the first)")
    parser.add_argument("--sample", type=float, default=1.0, metavar="F",
                        help="fraction of the training rows to train on (1)")
    options = parser.parse_args(argv)
    models = options.models.split(",")
    reference = options.reference or models[0]
    if options.seeds < 1:
        raise UserError(f"--seeds is {options.seeds}: give 1 or more")
    if not 0 < options.sample <= 1:
        raise UserError(f"--sample is {options.sample:g}: give more than 0, at most 1")
    if is_remote(options.out):
        raise UserError(f"--out {options.out} is an address: give a local folder")
    store, out = Store(options.store), Path(options.out)
    check_systems(models, reference, store)
    positions = training_rows(store, options.sample)
    plan = {"fingerprint": store.fingerprint, "reference": reference, "sample": options.sample}
    keep_plan(out, plan)
    rows = None
    if options.sample < 1:
        rows = out / ROWS
        write_rows(rows, column(store, "train", "review_id"), positions)
    results, failures = run_and_tell(Protocol(store, out, rows), models, options.seeds)
    about = {"format": FORMAT, "store": store.address, **plan,
             "training_rows": len(positions), "test_rows": store.rows("test")}
    write_comparison(out, about, store.classes, results, failures)
    return write_page(out) or (1 if failures else 0)


def training_rows(store: Store, sample: float) -> np.ndarray:
    """Positions of the rows to train on; UserError where they or the test rows are too few, or
    a shard is damaged."""
    if store.rows("test") == 0:
        raise UserError(f"{store.address} has no rows in its test split")
    if store.rows("train") == 0:
        raise UserError(f"{store.address} has no rows in its train split")
    check_shards(store)
    positions = draw_sample(column(store, "train", "review_id"), sample)
    counts = np.bincount(column(store, "train", "label")[positions], minlength=len(store.classes))
    if counts.min() < LEAST_OF_A_CLASS:
        raise UserError(f"{counts.min()} of the {len(positions):,} training rows are "
                        f"{store.classes[counts.argmin()]}: a comparison needs "
                        f"{LEAST_OF_A_CLASS} of each class")
    return positions


def keep_plan(out: Path, plan: Mapping[str, Any]) -> None:
    """Make the folder with its plan; UserError where it holds another, or something else."""
    file = out / PLAN
    if file.is_file():
        try:
            kept = json.loads(file.read_bytes())
        except ValueError:
            raise UserError(f"{file} cannot be read: give another --out") from None
        for name, value in plan.items():
            if kept.get(name) != value:
                raise UserError(f"{out} is a comparison with another {name} ({kept.get(name)}): "
                                "give another --out")
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise UserError(f"{out} is not empty, and no comparison: give another --out")
        write_atomically(file, json.dumps(plan, indent=1).encode() + b"\n")
    except OSError as error:
        raise UserError(f"--out {out} cannot be written: {error.strerror}") from None


def run_and_tell(
    protocol: Protocol, models: Sequence[str], seeds: int
) -> tuple[dict[str, list[dict[str, Any]]], list[Failure]]:
    """Results by model, and failures; a line for each run as it finishes."""
    results: dict[str, list[dict[str, Any]]] = {}
    failures = []
    for done in run_all(protocol, models, seeds):
        if isinstance(done, Failure):
            failures.append(done)
            print(f"{done.model}, seed {done.seed}: failed: {done.reason}", flush=True)
            continue
        results.setdefault(done["model"], []).append(done)
        print(f"{done['model']}, seed {done['seed']}: accuracy {done['accuracy']:.2%}, "
              f"macro F1 {done['f1_macro']:.4f}; trained in {done['train_s']:,.1f} s, scored "
              f"{done['reviews_per_s']:,.0f} reviews/s, {done['bytes'] / 1e6:,.1f} MB, "
              f"peak memory {done['peak_bytes'] / 1e6:,.0f} MB", flush=True)
    return results, failures


def write_comparison(
    out: Path, about: Mapping[str, Any], classes: list[str],
    results: Mapping[str, list[dict[str, Any]]], failures: Sequence[Failure],
) -> None:
    """Write compare.json, .csv and .md, and print the accuracies.

    Without a finished run of the reference there are no differences.
    """
    right = {model: _right(out, runs, classes) for model, runs in results.items()}
    comparison = {
        **about,
        "models": [summarize(runs) for runs in results.values()],
        "differences": (compare(results, right, about["reference"])
                        if about["reference"] in results else []),
        "runs": [run for runs in results.values() for run in runs],
        "failures": [vars(failure) for failure in failures],
    }
    write_files(out, comparison)
    for summary in comparison["models"]:
        print(f"{summary['model']}: accuracy {accuracy_text(summary)} "
              "(± seeds' deviation ± test reviews' standard error)")


def write_page(out: Path) -> int:
    """Write compare.html; the exit status of the stage that makes pages."""
    command = [sys.executable, "-P", "-m", "reports", str(out), "--out", str(out / "compare.html")]
    return subprocess.run(command).returncode


def _right(out: Path, runs: Sequence[Mapping[str, Any]], classes: list[str]) -> np.ndarray:
    """(S, n): 1.0 where a run judged a test review as its label says."""
    rows = []
    for run in runs:
        folder = run_folder(out, run["model"], run["seed"])
        _, labels, logits = read_predictions(folder / PREDICTIONS, classes)
        predicted = logits >= 0 if logits.ndim == 1 else logits.argmax(1)
        rows.append(predicted == labels)
    return np.array(rows, float)
