"""`reviewmill bench models`: how fast each model trains with its defaults, and how large it is."""

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
}
WARM_UP = 3  # updates that are not counted


def main(argv: Sequence[str]) -> int:
    """Train each of them for some updates on one core, and print the table."""
    parser = make_parser("reviewmill bench models", "Speed and size of each model.")
    parser.add_argument("store", nargs="?", metavar="STORE",
                        help="store to train on (default: 30,000 generated reviews)")
    parser.add_argument("--updates", type=int, default=12, metavar="N", help="updates counted")
    options = parser.parse_args(argv)
    if options.updates < 1:
        raise UserError("give --updates 1 or more")
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as folder:
        store = Store(store_or_generated(options.store, Path(folder), 30_000))
        print(f"{machine()}; one rank, one thread\n{store.vocabulary_size:,} ids, "
              f"length {store.length}\n")
        rows = []
        for name, choices in MODELS.items():
            speed, size = _train(store, Path(folder) / "run", choices, options.updates)
            rows.append([name, f"{speed:,.0f}", f"{size / 1e6:,.0f}"])
        print(table(["", "reviews/s", "MB"], rows))
    return 0


def _train(store: Store, run: Path, choices: Sequence[str], updates: int) -> tuple[float, int]:
    """Reviews a second of the median update, and the bytes of the weights."""
    done = subprocess.run(
        [sys.executable, "-m", "reviewmill", "train", str(store.path), "--out", str(run),
         "--overwrite", "--ranks", "1", "--threads", "1", "--keep", "last",
         "--max-steps", str(WARM_UP + updates), *choices], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{' '.join(choices)} failed: {done.stderr.strip()[-500:]}")
    steps = [record["reviews_per_s"] for record in read_records(run)
             if record and record["kind"] == "step"]
    return median(steps[WARM_UP:]), (run / "model" / "weights.safetensors").stat().st_size
