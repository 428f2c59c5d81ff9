"""`reviewmill bench models`: speed of each model with its defaults, on one rank and two; size."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.inputs import store_or_generated
from benchmarks.measure import machine, table
from reviews.errors import UserError
from reviews.options import make_parser
from reviews.run_folder import read_records
from reviews.store import Store

MODELS = {
    "--model bag": ("--model", "bag"),
    "--model lstm": ("--model", "lstm"),
    "--model lstm --bidirectional": ("--model", "lstm", "--bidirectional"),
    "--model gru": ("--model", "gru"),
    "--model bilstm-attention": ("--model", "bilstm-attention"),
    "--model cnn": ("--model", "cnn"),
    "--config views": ("--config", "views"),
    "--config default": ("--config", "default"),
}
WARM_UP = 3  # updates that are not counted


def main(argv: Sequence[str]) -> int:
    """Train each of them for some updates on one core and on several, and print the table."""
    parser = make_parser("reviewmill bench models", "Speed and size of each model.")
    parser.add_argument("store", nargs="?", metavar="STORE",
                        help="store to train on (default: 30,000 generated reviews)")
    parser.add_argument("--updates", type=int, default=12, metavar="N", help="updates counted")
    parser.add_argument("--ranks", type=int, default=2, metavar="N",
                        help="ranks, of one thread each, that one is compared with")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some models alone, as bag gru")
    options = parser.parse_args(argv)
    if min(options.updates, options.ranks) < 1:
        raise UserError("give --updates and --ranks 1 or more")
    chosen = {name: choices for name, choices in MODELS.items()
              if options.only is None or name.split()[-1] in options.only}
    if not chosen:
        raise UserError(f"--only has none of {', '.join(MODELS)}")
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as folder:
        store = Store(store_or_generated(options.store, Path(folder), 30_000))
        print(f"{machine()}; ranks of one thread\n{store.vocabulary_size:,} ids, "
              f"length {store.length}\n")
        rows, run = [], Path(folder) / "run"
        for name, choices in chosen.items():
            speed, size = _train(store, run, choices, options.updates, 1)
            several, _ = _train(store, run, choices, options.updates, options.ranks)
            rows.append([name, f"{speed:,.0f}", f"{several / speed:.2f}", f"{size / 1e6:,.0f}"])
        print(table(["", "reviews/s", f"{options.ranks} ranks, of one's", "MB"], rows))
    return 0


def _train(
    store: Store, run: Path, choices: Sequence[str], updates: int, ranks: int
) -> tuple[float, int]:
    """Reviews a second of the median update, and the bytes of the weights."""
    done = subprocess.run(
        [sys.executable, "-m", "reviewmill", "train", str(store.path), "--out", str(run),
         "--overwrite", "--ranks", str(ranks), "--threads", "1", "--keep", "last",
         "--max-steps", str(WARM_UP + updates), *choices], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{' '.join(choices)} failed: {done.stderr.strip()[-500:]}")
    steps = [record["reviews_per_s"] for record in read_records(run)
             if record and record["kind"] == "step"]
    return median(steps[WARM_UP:]), (run / "model" / "weights.safetensors").stat().st_size
