"""`reviewmill bench train`: reviews a second on some ranks, beside plain torch DDP."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.inputs import store_or_generated
from benchmarks.measure import machine, table
from mpi_train.config import TrainingConfig
from reviews.errors import UserError
from reviews.options import make_parser
from reviews.store import Store

WARM_UP = 5  # updates that are not counted


def main(argv: Sequence[str]) -> int:
    """Run the benchmark and print its table."""
    parser = make_parser("reviewmill bench train", "Train beside a plain torch DDP script.")
    parser.add_argument("store", nargs="?", metavar="STORE",
                        help="store to train on (default: 30,000 generated reviews)")
    parser.add_argument("--ranks", type=int, default=2, metavar="N")
    parser.add_argument("--updates", type=int, default=20, metavar="N", help="updates counted")
    parser.add_argument("--batch-size", type=int, default=1024, metavar="N", help="over all ranks")
    parser.add_argument("--hidden-dim", type=int, default=64, metavar="N")
    parser.add_argument("--bidirectional", action="store_true")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="runs; medians count")
    options = parser.parse_args(argv)
    if min(options.ranks, options.updates, options.repeat) < 1:
        raise UserError("give --ranks, --updates and --repeat 1 or more")
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as folder:
        path = store_or_generated(options.store, Path(folder), 30_000)
        _compare(Store(path), Path(folder), options)
    return 0


def _compare(store: Store, folder: Path, options: argparse.Namespace) -> None:
    config = TrainingConfig(
        batch_size=options.batch_size, hidden_dim=options.hidden_dim,
        bidirectional=options.bidirectional,
    )
    contenders = {
        "plain torch DDP": lambda: plain(store, config, options),
        "reviewmill": lambda: own(store, config, options, folder / "run"),
    }
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(options.repeat):
        # In turns, so that a slow minute of the machine hits all of them.
        for name, contender in contenders.items():
            found[name].append(contender())
    speeds = {name: median(values) for name, values in found.items()}
    print(f"{machine()}; {options.ranks} ranks\n{config.model}, embedding {config.embedding_dim}, "
          f"hidden {config.hidden_dim}{' x 2' if config.bidirectional else ''}, mean and maximum, "
          f"batch {config.batch_size}, length {store.length}; median of {options.repeat}\n")
    peer = next(iter(speeds.values()))
    rows = [[name, f"{speed:,.0f}", f"{speed / peer:.2f}"] for name, speed in speeds.items()]
    print(table(["", "reviews/s", "ratio"], rows))


def plain(store: Store, config: TrainingConfig, options: argparse.Namespace) -> float:
    """Reviews a second of the plain script."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(options.ranks),
        "-m", "benchmarks.plain_ddp", str(store.path),
        "--updates", str(WARM_UP + options.updates), "--batch-size", str(config.batch_size),
        "--embedding-dim", str(config.embedding_dim), "--hidden-dim", str(config.hidden_dim),
        "--dropout", str(config.dropout), "--learning-rate", str(config.learning_rate),
        *(["--bidirectional"] if config.bidirectional else []),
    ]
    seconds = json.loads(_output(command).splitlines()[-1])
    return config.batch_size * options.updates / sum(seconds[WARM_UP:])


def own(store: Store, config: TrainingConfig, options: argparse.Namespace, run: Path) -> float:
    """Reviews a second of the trainer."""
    updates = WARM_UP + options.updates
    epochs = -(-updates * config.batch_size // store.rows("train"))
    _output([
        sys.executable, "-m", "reviewmill", "train", str(store.path), "--out", str(run),
        "--overwrite", "--ranks", str(options.ranks), "--max-steps", str(updates),
        "--epochs", str(epochs), "--keep", "last", "--batch-size", str(config.batch_size),
        "--hidden-dim", str(config.hidden_dim),
        *(["--bidirectional"] if config.bidirectional else []),
    ])
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    steps = [line for line in lines if line["kind"] == "step"][WARM_UP:]
    return sum(step["reviews"] for step in steps) / sum(step["step_s"] for step in steps)


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{' '.join(command[:5])} ... failed: {done.stderr.strip()[-500:]}")
    return done.stdout
