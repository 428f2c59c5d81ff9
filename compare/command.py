"""`reviewmill compare`: models and baselines on one store under one protocol."""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from compare import raw_texts, slices
from compare.analysis import learning_curve
from compare.analysis.keys import clusters_of
from compare.analysis.precision_recall import curves
from compare.analysis.wrong_labels import wrong_labels
from compare.output import accuracy_text, write_files
from compare.results import FOLDS, SEEDS, compare, summarize
from compare.rows import check_classes, check_shards, column, draw_sample, fold_of
from compare.runs import PREDICTIONS, Failure, Protocol, run_all, run_folder
from compare.systems import SYSTEMS, check_systems
from reviews.errors import UserError
from reviews.options import make_parser
from reviews.predictions import read_predictions
from reviews.storage.files import is_remote
from reviews.storage.folders import write_atomically
from reviews.store import Store

FORMAT = "reviewmill-comparison/1"
PLAN, TEXTS = "plan.json", "texts.parquet"
SEEDS_DEFAULT = 5
LEAST_OF_A_CLASS = 3  # training rows: one for each fold of the baselines' search


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is not finished, write the comparison; 1 where a run failed, else 0."""
    parser = make_parser("reviewmill compare", "Compare models and baselines on one store.")
    parser.add_argument("store", metavar="STORE", help="store to train and test on")
    parser.add_argument("--models", required=True, metavar="A,B,...",
                        help="models to compare: " + ", ".join(SYSTEMS))
    parser.add_argument("--out", required=True, metavar="FOLDER",
                        help="folder of the comparison; finished runs in it are kept")
    parser.add_argument("--input", nargs="+", default=[], metavar="FILE",
                        help="files that the store was prepared from, for baselines that read raw "
                        "texts, and for mistakes as text")
    parser.add_argument("--seeds", type=int, metavar="N",
                        help="number of seeds of every model that has one (5)")
    parser.add_argument("--folds", type=int, default=0, metavar="K",
                        help="number of folds of a cross-validation over the training rows, in "
                        "place of seeds and of the test split")
    parser.add_argument("--reference", metavar="NAME",
                        help="model that the others are tested against (the first)")
    parser.add_argument("--sample", type=float, default=1.0, metavar="F",
                        help="fraction of the training rows to train on (1)")
    parser.add_argument("--learning-curve", action="store_true",
                        help="train on 1/16, 1/8, 1/4 and 1/2 of these rows, too, and forecast the "
                        "accuracy of twice as many")
    options = parser.parse_args(argv)
    check_options(options)
    models = options.models.split(",")
    reference = options.reference or models[0]
    store, out = Store(options.store), Path(options.out)
    check_systems(models, reference, store, options.input)
    positions = training_rows(store, options.sample, options.folds)
    if options.learning_curve:
        check_smallest(store, positions)
    plan = {"fingerprint": store.fingerprint, "reference": reference, "sample": options.sample,
            **({"folds": options.folds} if options.folds else {})}
    keep_plan(out, plan)
    texts = find_texts(out, store, options.input)
    protocol = Protocol(store, out, positions, options.folds, texts)
    seeds = options.seeds or SEEDS_DEFAULT
    results, failures = run_and_tell(run_all(protocol, models, seeds), protocol)
    curves = []
    if options.learning_curve:
        smaller, failed = run_samples(protocol, models, seeds)
        failures += failed
        curves = learning_curve.curves(smaller, results, len(positions))
    about = {"format": FORMAT, "store": store.address, **plan, "folds": options.folds,
             "quoted": FOLDS if options.folds else SEEDS, "training_rows": len(positions),
             "test_rows": len(positions) if options.folds else store.rows("test"),
             "learning_curve": curves}
    write_comparison(protocol, about, results, failures)
    return write_page(out) or (1 if failures else 0)


def check_options(options: argparse.Namespace) -> None:
    """Raise UserError for numbers out of bounds, and for options that exclude each other."""
    if options.seeds is not None and options.seeds < 1:
        raise UserError(f"--seeds is {options.seeds}: give 1 or more")
    if options.folds < 0 or options.folds == 1:
        raise UserError(f"--folds is {options.folds}: give 2 or more")
    if options.folds and options.learning_curve:
        raise UserError("--learning-curve tests on the test split: give either it or --folds")
    if options.folds and options.seeds is not None:
        raise UserError("--folds trains once on each fold, with the fold's number as the seed: "
                        "give either --folds or --seeds")
    if not 0 < options.sample <= 1:
        raise UserError(f"--sample is {options.sample:g}: give more than 0, at most 1")
    if is_remote(options.out):
        raise UserError(f"--out {options.out} is an address: give a local folder")


def find_texts(out: Path, store: Store, inputs: Sequence[str]) -> Path | None:
    """The file of raw texts in the folder, made from --input where it is missing; None without."""
    if not inputs:
        return None
    file = out / TEXTS
    if not file.is_file():
        raw_texts.write(file, store, inputs)
    return file


def training_rows(store: Store, sample: float, folds: int = 0) -> np.ndarray:
    """Positions of the rows to train on; UserError where they, those of all folds but one, or the
    test rows are too few, or a shard is damaged."""
    if store.rows("test") == 0 and not folds:
        raise UserError(f"{store.address} has no rows in its test split")
    if store.rows("train") == 0:
        raise UserError(f"{store.address} has no rows in its train split")
    check_shards(store)
    positions = draw_sample(column(store, "train", "review_id"), sample)
    of_fold = (fold_of(column(store, "train", "review_id")[positions], folds)
               if folds else None)
    check_classes(column(store, "train", "label")[positions], store.classes, LEAST_OF_A_CLASS,
                  of_fold)
    return positions


def check_smallest(store: Store, positions: np.ndarray) -> None:
    """Raise UserError where the smallest sample of a learning curve has too few of a class."""
    ids, labels = (column(store, "train", name)[positions] for name in ("review_id", "label"))
    inside = draw_sample(ids, learning_curve.FRACTIONS[0])
    check_classes(labels[inside], store.classes, LEAST_OF_A_CLASS)


def keep_plan(out: Path, plan: Mapping[str, Any]) -> None:
    """Make the folder with its plan; UserError where it holds another, or something else."""
    file = out / PLAN
    if file.is_file():
        try:
            kept = json.loads(file.read_bytes())
        except ValueError:
            raise UserError(f"{file} cannot be read: give another --out") from None
        for name in {**plan, **kept}:
            if kept.get(name) != plan.get(name):
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
    runs: Iterable[dict[str, Any] | Failure], protocol: Protocol, where: str = ""
) -> tuple[dict[str, list[dict[str, Any]]], list[Failure]]:
    """Results by model, and failures; a line for each run as it finishes."""
    results: dict[str, list[dict[str, Any]]] = {}
    failures = []
    unit = "fold" if protocol.folds else "seed"
    for done in runs:
        if isinstance(done, Failure):
            failures.append(replace(done, reason=where + done.reason))
            print(f"{where}{done.model}, {unit} {done.seed}: failed: {done.reason}", flush=True)
            continue
        results.setdefault(done["model"], []).append(done)
        rmse = f", RMSE of the rating {done['rating_rmse']:.3f}" if "rating_rmse" in done else ""
        print(f"{where}{done['model']}, {unit} {done['seed']}: accuracy {done['accuracy']:.2%}, "
              f"macro F1 {done['f1_macro']:.4f}{rmse}; trained in {done['train_s']:,.1f} s, scored "
              f"{done['reviews_per_s']:,.0f} reviews/s, {done['bytes'] / 1e6:,.1f} MB, "
              f"peak memory {done['peak_bytes'] / 1e6:,.0f} MB", flush=True)
    return results, failures


def run_samples(
    protocol: Protocol, models: Sequence[str], seeds: int
) -> tuple[dict[str, dict[int, list[dict[str, Any]]]], list[Failure]]:
    """Results on the smaller samples of a learning curve by model and rows, and failures."""
    results: dict[str, dict[int, list[dict[str, Any]]]] = {}
    failures: list[Failure] = []
    for sample in learning_curve.samples(protocol):
        rows = len(sample.positions)
        found, failed = run_and_tell(
            learning_curve.run_sample(sample, models, seeds), sample, f"{rows:,} rows, ")
        failures += failed
        for model, runs in found.items():
            results.setdefault(model, {})[rows] = runs
    return results, failures


def write_comparison(
    protocol: Protocol, about: Mapping[str, Any],
    results: Mapping[str, list[dict[str, Any]]], failures: Sequence[Failure],
) -> None:
    """Write compare.json, .csv and .md, and print the accuracies.

    Without a finished run of the reference there are no differences.
    """
    store, folds = protocol.store, bool(protocol.folds)
    judged = {model: [_judged(protocol, run) for run in runs] for model, runs in results.items()}
    right = {model: [run.right for run in runs] for model, runs in judged.items()}
    summaries = [summarize(runs, folds) for runs in results.values()]
    clusters = {}
    if judged and not folds:  # all runs are tested on the same reviews
        [first, *_], *_ = judged.values()
        clusters = clusters_of(store, protocol.split, first.ids)
    comparison = {
        **about,
        "models": summaries,
        "differences": (compare(results, right, about["reference"], folds, clusters)
                        if about["reference"] in results else []),
        "precision_recall": curves(judged, store.classes, folds),
        "slices": slices.by_slice(store, protocol.split, judged),
        "mistakes": None,
        "wrong_labels": None,
        "runs": [run for runs in results.values() for run in runs],
        "failures": [vars(failure) for failure in failures],
    }
    best = max(summaries, key=lambda summary: summary["accuracy"])["model"] if summaries else ""
    if folds and summaries:
        comparison["wrong_labels"] = wrong_labels(
            protocol.out, best, judged[best], store.classes, protocol.texts)
    if protocol.texts and summaries:
        runs = judged[best] if folds else judged[best][:1]
        comparison["mistakes"] = {
            "model": best, "reviews": slices.mistakes(protocol.texts, runs, store.classes)}
    write_files(protocol.out, comparison)
    for curve in about["learning_curve"]:
        if curve["forecast"]:
            print("{model}: {forecast[accuracy]:.2%} ({forecast[low]:.2%} to {forecast[high]:.2%})"
                  " forecast for {forecast[rows]:,} rows".format(**curve))
    for summary in summaries:
        print(f"{summary['model']}: accuracy {accuracy_text(summary)} "
              f"(± {'folds' if folds else 'seeds'}' deviation ± test reviews' standard error)")


def write_page(out: Path) -> int:
    """Write compare.html; the exit status of the stage that makes pages."""
    command = [sys.executable, "-P", "-m", "reports", str(out), "--out", str(out / "compare.html")]
    return subprocess.run(command).returncode


def _judged(protocol: Protocol, run: Mapping[str, Any]) -> slices.Judged:
    """Predictions of a finished run for its test reviews."""
    folder = run_folder(protocol.out, run["model"], run["seed"])
    return slices.Judged(*read_predictions(folder / PREDICTIONS, protocol.store.classes))
