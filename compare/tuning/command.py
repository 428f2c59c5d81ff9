"""`reviewmill tune`: options of a training, searched on a sample of a store."""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from compare.command import keep_plan
from compare.rows import check_classes, check_shards, column, fold_of
from compare.tuning.study import COMPLETE, FAILED, NextTrial, Trial, importance
from compare.tuning.trials import OPTIONS, RESULT, Trainings, run_trial, write_folds
from reviews.errors import UserError
from reviews.options import flag, make_parser
from reviews.storage.files import is_remote
from reviews.storage.folders import write_atomically
from reviews.store import Store

FORMAT = "reviewmill-tuning/1"
FILE, PAGE, BEST = "tune.json", "tune.html", "best.yaml"
SAMPLE, TRIALS = 25_000, 30
FOLDS = 5  # that the sample is cut into, to validate on the first, where --folds is not given
LEAST_OF_A_CLASS = 2  # training rows of each fold


def main(argv: Sequence[str] | None = None) -> int:
    """Run the trials that are missing, write the page and the best options; 1 where no trial is
    complete, else 0."""
    options = read_options(argv)
    store, out = Store(options.store), Path(options.out)
    found = ask_for_space(options.train_options)
    space = chosen_space(found["space"], options.search)
    defaults = {name: found["defaults"][name] for name in space}
    positions, ids = draw_rows(store, options.sample, options.folds or FOLDS)
    keep_plan(out, {
        "fingerprint": store.fingerprint, "base": found["base"], "sample": len(positions),
        "folds": options.folds, "seed": options.seed, "space": space})
    trainings = Trainings(
        store.address, out, range(options.folds or 1), found["base"], found["keep"],
        found["keep_by"], options.seed)
    write_folds(trainings, ids, positions, options.folds or FOLDS)
    direction: Literal["maximize", "minimize"] = (
        "minimize" if found["keep_by"] == "loss" else "maximize")
    trials: list[Trial] = []
    for number in range(options.trials):
        kept = trainings.folder(number) / RESULT
        if kept.is_file():
            trials.append(json.loads(kept.read_bytes()))
        else:
            following = NextTrial(space, defaults, trials, direction, options.seed)
            trials.append(run_trial(trainings, number, following))
        print(trial_line(trials[-1], found["keep_by"]), flush=True)
    of_fold = fold_of(ids[positions], options.folds or FOLDS)
    validated = len(positions) if options.folds else int((of_fold == 0).sum())
    best = best_trial(trials, direction)
    write_result(out, {
        "format": FORMAT, "store": store.address, "fingerprint": store.fingerprint,
        "model": found["base"]["model"], "base": found["base"], "metric": found["keep_by"],
        "direction": direction, "sample": len(positions), "folds": options.folds,
        "validated": validated, "seed": options.seed, "space": space,
        "defaults": defaults, "trials": trials,
        "best": None if best is None else best["number"],
        "importance": importance(space, trials, direction)})
    if best is not None:
        shutil.copy(trainings.folder(best["number"]) / OPTIONS, out / BEST)
        print(f"best: {trial_line(best, found['keep_by'])}")
        print(f"to train with it: reviewmill train {options.store} --config {out / BEST} --out RUN",
              flush=True)
    return write_page(out) or int(best is None)


def read_options(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line, with those of `train` as `train_options`."""
    parser = make_parser(
        "reviewmill tune", "Search the options of a training on a sample of a store, by "
        "validation. Options of train that stand behind -- are those of all trials.")
    parser.add_argument("store", metavar="STORE", help="store to draw the sample from")
    parser.add_argument("--model", metavar="M", help="model, as train --model takes it")
    parser.add_argument("--config", metavar="C",
                        help="choices to begin from, as train --config takes them")
    parser.add_argument("--out", required=True, metavar="FOLDER",
                        help="folder of the search; finished trials in it are kept")
    parser.add_argument("--search", metavar="A,B,...",
                        help="options to search (all that declare values to search)")
    parser.add_argument("--sample", type=int, default=SAMPLE, metavar="N",
                        help=f"number of training reviews that are drawn ({SAMPLE}); a fifth of "
                        "them is validated on")
    parser.add_argument("--folds", type=int, default=0, metavar="K",
                        help="number of folds of the sample, on each of which every trial is "
                        "validated")
    parser.add_argument("--trials", type=int, default=TRIALS, metavar="N",
                        help=f"number of trials in all ({TRIALS})")
    parser.add_argument("--seed", type=int, default=0, metavar="S",
                        help="seed of the search and of the trainings (0)")
    words = list(sys.argv[1:] if argv is None else argv)
    own = words.index("--") if "--" in words else len(words)
    options = parser.parse_args(words[:own])
    if not options.model and not options.config:
        raise UserError("name what to tune with --model or --config")
    if options.trials < 1:
        raise UserError(f"--trials is {options.trials}: give 1 or more")
    if options.folds < 0 or options.folds == 1:
        raise UserError(f"--folds is {options.folds}: give 2 or more")
    if options.sample < 1:
        raise UserError(f"--sample is {options.sample}: give 1 or more")
    if options.seed < 0:
        raise UserError(f"--seed is {options.seed}: give 0 or more")
    if is_remote(options.out):
        raise UserError(f"--out {options.out} is an address: give a local folder")
    named = [f"{flag(name)}={value}" for name in ("model", "config")
             if (value := getattr(options, name))]
    options.train_options = [*named, *words[own + 1:]]
    return options


def ask_for_space(train_options: Sequence[str]) -> dict[str, Any]:
    """Answer of the trainer about a search: `base`, `space`, `defaults`, `keep` and `keep_by`."""
    command = [sys.executable, "-P", "-m", "mpi_train.configuration.search_space", *train_options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(
            done.stderr.strip().splitlines()[-1].removeprefix("reviewmill tune: "))
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def chosen_space(space: dict[str, Any], search: str | None) -> dict[str, Any]:
    """The options to search; UserError for one that has no values to search."""
    if not space:
        raise UserError("no option is left to search: name fewer of them")
    if search is None:
        return space
    names = [name.strip().removeprefix("--").replace("-", "_") for name in search.split(",")]
    for name in names:
        if name not in space:
            raise UserError(f"{flag(name)} is not searched here; {', '.join(map(flag, space))}")
    return {name: searched for name, searched in space.items() if name in names}


def draw_rows(store: Store, sample: int, folds: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n,) of the sample in the training split, ascending, and all review_ids.

    A sample is the reviews of the lowest review_ids, which are hashes: they are at random, and
    they stand at the beginnings of the shards, so that a training reads little else.
    """
    if store.rows("train") == 0:
        raise UserError(f"{store.address} has no rows in its train split")
    check_shards(store)
    ids = column(store, "train", "review_id")
    positions = np.sort(np.argsort(ids, kind="stable")[:sample])
    check_classes(column(store, "train", "label")[positions], store.classes, LEAST_OF_A_CLASS,
                  fold_of(ids[positions], folds))
    return positions, ids


def best_trial(trials: Sequence[Trial], direction: str) -> Trial | None:
    """The complete trial of the best value, the first of equal ones; None without any."""
    sign = 1 if direction == "maximize" else -1
    return max((trial for trial in trials if trial["state"] == COMPLETE),
               key=lambda trial: sign * (trial["value"] or 0), default=None)


def trial_line(trial: Trial, metric: str) -> str:
    """A trial in one line."""
    options = " ".join(f"{flag(name)} {shown(value)}" for name, value in trial["params"].items())
    if trial["state"] == FAILED:
        return f"trial {trial['number']}: failed: {trial['reason']}; {options}"
    pruned = "" if trial["state"] == COMPLETE else " (pruned)"
    return (f"trial {trial['number']}: {metric} {trial['value']:.4f}{pruned}, "
            f"{trial['seconds']:,.1f} s; {options}")


def shown(value: Any) -> str:
    """A value as a person writes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def write_result(out: Path, result: Mapping[str, Any]) -> None:
    """Write tune.json, whole."""
    write_atomically(out / FILE, json.dumps(result, indent=1).encode() + b"\n")


def write_page(out: Path) -> int:
    """Write tune.html; the exit status of the stage that makes pages."""
    command = [sys.executable, "-P", "-m", "reports", str(out), "--out", str(out / PAGE)]
    return subprocess.run(command).returncode
