"""`reviewmill bench minibatch`: rules of scaling at large batch sizes, and the noise scale."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from benchmarks.measure import machine, table
from benchmarks.minibatch.rules import RULES, Base, rules_at
from benchmarks.minibatch.runs import CONFIG, Result, Study
from benchmarks.scaling.command import read_numbers
from reviews.errors import UserError
from reviews.options import make_parser
from reviews.store import Store

BATCHES = "128,1024,4096,16384"
BASE = Base(128, 2e-3, 1e-2, 0.02)
POINTS = 1.0  # percentage points below the best that still count as good
HEADER = ["batch", "rule", "updates", "accuracy", "deviation", "noise scale", "by seed"]
Runs = dict[tuple[int, str], list[Result]]  # by batch size and title of the rule


def main(argv: Sequence[str]) -> int:
    """Train at every batch size under every rule and seed, and print the table."""
    options = read_options(argv)
    store = Store(options.store)
    if not store.rows("validation"):
        raise UserError(f"{store.path} lacks a validation split")
    if (most := store.rows("train")) < options.rows:
        raise UserError(f"{store.path} has {most:,} training reviews: give --rows {most} or fewer")
    base = Base(options.base_batch_size, options.learning_rate, options.lamb_rate,
                options.warmup_epochs)
    study = Study(store, Path(options.out), options.rows, options.epochs, base)
    study.open()
    print(f"{machine()}; --config {CONFIG}, {options.rows:,} reviews of length {store.length}, "
          f"{options.epochs} epochs; rates {base.learning_rate:g} (lamb {base.lamb_rate:g}) and "
          f"{base.warmup_epochs:g} warm-up epochs at batch {base.batch_size}; accuracy on "
          f"{store.rows('validation'):,} validation reviews ({_largest_class(store)})\n",
          flush=True)
    runs: Runs = {}
    for seed in range(options.seeds):
        for batch in options.batches:
            for rule, title in rules_at(batch, options.rules, base):
                result = study.run(rule, batch, seed)
                runs.setdefault((batch, title), []).append(result)
                # All of them take hours.
                print(f"batch {batch:,}, {title}, seed {seed}: {_percent(result.accuracy)}",
                      file=sys.stderr, flush=True)
    print(report(runs))
    return 0


def read_options(argv: Sequence[str]) -> argparse.Namespace:
    """The options, with `batches` as numbers."""
    parser = make_parser(
        "reviewmill bench minibatch",
        "Accuracy at large batch sizes under rules of scaling the learning rate, and the batch "
        "size that the gradient noise scale suggests.")
    parser.add_argument("store", metavar="STORE", help="store with a validation split")
    parser.add_argument("--out", default="minibatch", metavar="FOLDER",
                        help="folder of the runs; those that it holds are not run again "
                        "(minibatch)")
    parser.add_argument("--batches", default=BATCHES, metavar="N,N,...",
                        help=f"batch sizes ({BATCHES})")
    parser.add_argument("--rules", nargs="+", default=list(RULES), choices=RULES, metavar="RULE",
                        help="; ".join(f"{name}: {text}" for name, text in RULES.items()))
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="number of seeds (3)")
    parser.add_argument("--rows", type=int, default=50_000, metavar="N",
                        help="number of training reviews, drawn from the store (50000)")
    parser.add_argument("--epochs", type=int, default=3, metavar="N", help="number of epochs (3)")
    parser.add_argument("--base-batch-size", type=int, default=BASE.batch_size, metavar="N",
                        help=f"batch size that rates are scaled from ({BASE.batch_size})")
    parser.add_argument("--learning-rate", type=float, default=BASE.learning_rate, metavar="X",
                        help=f"rate there ({BASE.learning_rate:g})")
    parser.add_argument("--lamb-rate", type=float, default=BASE.lamb_rate, metavar="X",
                        help=f"rate of lamb there ({BASE.lamb_rate:g})")
    parser.add_argument("--warmup-epochs", type=float, default=BASE.warmup_epochs, metavar="X",
                        help=f"warm-up there, in epochs ({BASE.warmup_epochs:g})")
    options = parser.parse_args(argv)
    if min(options.seeds, options.rows, options.epochs, options.base_batch_size) < 1:
        raise UserError("give --seeds, --rows, --epochs and --base-batch-size 1 or more")
    if not all(0 < x < float("inf") for x in (
            options.learning_rate, options.lamb_rate, options.warmup_epochs)):
        raise UserError("give --learning-rate, --lamb-rate and --warmup-epochs more than 0")
    options.batches = read_numbers("batches", options.batches, options.base_batch_size)
    if options.batches[-1] > options.rows:
        raise UserError(f"--batches {options.batches[-1]} is more than --rows {options.rows}")
    options.rules = [rule for rule in RULES if rule in options.rules]
    return options


def report(runs: Runs) -> str:
    """The table, and the best batch sizes beside the one that the noise scale suggests."""
    rows = []
    for (batch, title), results in runs.items():
        found = [r.accuracy for r in results if r.accuracy is not None]
        scales = [r.scale for r in results if r.scale is not None]
        updates = max(r.updates for r in results)
        rows.append([
            f"{batch:,}", title, f"{updates:,}" if updates else "-",
            _percent(_mean(results)),
            f"{100 * stdev(found):.2f}" if len(found) == len(results) > 1 else "-",
            f"{mean(scales):,.0f}" if scales else "-",
            " ".join(_percent(r.accuracy) for r in results)])
    return "\n".join([table(HEADER, rows), "", *_conclusions(runs)])


def _conclusions(runs: Runs) -> list[str]:
    means = {key: accuracy for key, results in runs.items()
             if (accuracy := _mean(results)) is not None}
    if not means:
        return ["all runs diverged"]
    best = max(means, key=lambda key: means[key])
    good = max(key for key in means if 100 * (means[best] - means[key]) <= POINTS)
    lines = [f"best: {means[best]:.2%} at batch {best[0]:,} ({best[1]})",
             f"largest batch within {POINTS:g} points of it: {good[0]:,} ({good[1]}), "
             f"{means[good]:.2%}"]
    known = [(result.accuracy, key, result.noise_scale) for key, results in runs.items()
             for result in results if result.accuracy is not None and result.scale is not None]
    if not known:
        return [*lines, "gradient noise scale: in no run sure; more updates or larger batches "
                "measure it better"]
    _, (batch, title), noise = max(known, key=lambda run: run[0])
    return [*lines, f"suggested by --noise-scale: {noise['batch_size']:,} (gradient noise scale "
            f"{noise['scale']:,.0f} ± {noise['error']:,.0f} reviews in the last epoch at batch "
            f"{batch:,}, {title}: the most accurate run in which it is sure)"]


def _largest_class(store: Store) -> str:
    labels: dict[str, int] = store.manifest["splits"]["validation"]["labels"]
    largest = max(labels, key=lambda name: labels[name])
    return f"{labels[largest] / store.rows('validation'):.2%} are {largest}"


def _mean(results: Sequence[Result]) -> float | None:
    """Mean accuracy; None where a run diverged."""
    found = [result.accuracy for result in results if result.accuracy is not None]
    return mean(found) if len(found) == len(results) else None


def _percent(accuracy: float | None) -> str:
    return "diverged" if accuracy is None else f"{accuracy:.2%}"
