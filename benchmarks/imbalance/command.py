"""`reviewmill bench imbalance`: class weights, focal loss and oversampling for a rare class."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.imbalance.samples import skewed_figures, write_training_rows
from benchmarks.measure import machine, measure, table
from reviews.errors import UserError
from reviews.options import make_parser
from reviews.store import Store

REMEDIES = ("none", "weights", "focal", "oversampling")
MODELS = ("bag", "lstm", "gru", "bilstm-attention", "cnn")
HEADER = ["rare class", "remedy", "macro F1", "deviation", "recall", "precision", "accuracy",
          "ROC AUC"]


def main(argv: Sequence[str]) -> int:
    """Train with every remedy at every fraction, and print the table."""
    options = read_options(argv)
    store = Store(options.store)
    if len(store.classes) != 2 or not store.rows("test"):
        raise UserError(f"{store.path} is no store of two classes with a test split")
    print(f"{machine()}; --model {options.model}, {options.rows:,} training reviews, "
          f"{options.seeds} seeds; recall and precision of {store.classes[0]}\n", flush=True)
    rows = []
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as folder:
        for rare in options.rare:
            file = Path(folder) / "rows.parquet"
            write_training_rows(store, rare, options.rows, file)
            for remedy in REMEDIES:
                found = [_train(store, rare, Path(folder), [
                    "--model", options.model, "--seed", str(seed), "--rows", str(file),
                    *remedy_options(remedy, rare)]) for seed in range(options.seeds)]
                rows.append(entry(rare, remedy, found, store.classes[0]))
                print(" ".join(rows[-1]), file=sys.stderr, flush=True)
    print(table(HEADER, rows))
    return 0


def read_options(argv: Sequence[str]) -> argparse.Namespace:
    """The options, checked."""
    parser = make_parser(
        "reviewmill bench imbalance",
        "Macro F1, and recall of the first class, where it is rare: in training and test reviews "
        "that are drawn from the store.")
    parser.add_argument("store", metavar="STORE", help="store of two classes with a test split")
    parser.add_argument("--rare", type=float, nargs="+", default=[0.23, 0.1], metavar="X",
                        help="fractions of the first class, below 0.5 (0.23 0.1)")
    parser.add_argument("--rows", type=int, default=50_000, metavar="N",
                        help="number of training reviews, drawn from the store (50000)")
    parser.add_argument("--model", default="bag", choices=MODELS, metavar="NAME",
                        help=f"one of {', '.join(MODELS)} (bag)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="number of seeds (3)")
    options = parser.parse_args(argv)
    if min(options.rows, options.seeds) < 1:
        raise UserError("give --rows and --seeds 1 or more")
    if not all(0 < rare < 0.5 for rare in options.rare):
        raise UserError("--rare has fractions of more than 0, below 0.5")
    return options


def remedy_options(remedy: str, rare: float) -> list[str]:
    """Options of `train` for a first class that has the fraction `rare` of the reviews."""
    ratio = (1 - rare) / rare
    return {"none": [], "weights": ["--class-weights", f"{ratio:.4g},1"],
            "focal": ["--loss", "focal"],
            "oversampling": ["--oversample", f"{round(ratio)},1"]}[remedy]


def entry(rare: float, remedy: str, found: Sequence[dict[str, Any]], name: str) -> list[str]:
    """Row of the table: means over the seeds, and the deviation of macro F1.

    Args:
        found: figures of `evaluate` by seed.
        name: of the rare class.
    """
    scores = [figures["f1_macro"] for figures in found]
    return [f"{rare:.0%}", remedy, f"{mean(scores):.2%}",
            f"{100 * stdev(scores):.2f}" if len(scores) > 1 else "-",
            f"{mean(figures['recall'][name] for figures in found):.2%}",
            f"{mean(figures['precision'][name] for figures in found):.2%}",
            f"{mean(figures['accuracy'] for figures in found):.2%}",
            f"{mean(figures['roc_auc'] for figures in found):.4f}"]


def _train(store: Store, rare: float, folder: Path, choices: Sequence[str]) -> dict[str, Any]:
    """Figures of a training by the command, of its last epoch, on test reviews that are drawn."""
    run, predictions = folder / "run", folder / "predictions.parquet"
    mill = [sys.executable, "-P", "-m", "reviewmill"]
    measure([*mill, "train", str(store.address), "--out", str(run), "--ranks", "1",
             "--keep", "last", *choices])
    measure([*mill, "evaluate", str(run), "--store", str(store.address), "--split", "test",
             "--predictions", str(predictions)])
    shutil.rmtree(run)
    return skewed_figures(predictions, store.classes, rare)
