"""Speed-up of `--parallel data` and `--parallel model` over one core, on more and more cores.

    python -m benchmarks.ranks.model_parallel [STORE]
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch

from benchmarks.inputs import store_or_generated
from benchmarks.measure import machine, measure, table
from models.micro_batches import micro_batches
from models.nets import build
from models.nets.dropout import DropoutRandom
from models.nets.predict import to_tensors
from models.nets.recurrent import Recurrent
from mpi_train.backward import Inputs
from mpi_train.configuration.config import TrainingConfig
from mpi_train.data import BatchReader
from mpi_train.pipelining.pipelined_backward import MicroBatch
from reviews.errors import UserError
from reviews.options import make_parser
from reviews.run_folder import read_records
from reviews.store import Store

WARM_UP = 3  # updates that are not counted
GROUPS = 2  # groups of cores of a rank under --parallel model


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its table."""
    parser = make_parser("python -m benchmarks.ranks.model_parallel",
                         "Data parallel training beside model parallel on the same cores.")
    parser.add_argument("store", nargs="?", metavar="STORE",
                        help="store to train on (default: 30,000 generated reviews)")
    parser.add_argument("--updates", type=int, default=10, metavar="N", help="updates counted")
    parser.add_argument("--batch-size", type=int, default=1024, metavar="N", help="over all ranks")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="runs; medians count")
    options = parser.parse_args(argv)
    if min(options.updates, options.repeat) < 1:
        raise UserError("give --updates and --repeat 1 or more")
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as folder:
        store = store_or_generated(options.store, Path(folder), 30_000)
        print(f"{machine()}\nlstm, batch {options.batch_size}; median of {options.repeat}\n")
        part = recurrent_part(Store(store), options.batch_size)
        print(f"CPU time of forward and backward passes in the recurrent layers: {part:.0%}; two "
              f"groups are at most {1 / max(part, 1 - part):.2f} times as fast as one core\n")
        ways = list(_ways(len(cores)))
        found: dict[tuple[str, int], list[float]] = {way[:2]: [] for way in ways}
        for _ in range(options.repeat):
            # In turns, so that a slow minute of the machine hits all of them.
            for name, used, ranks, threads in ways:
                found[name, used].append(_speed(
                    store, Path(folder) / "run", cores[:used], options,
                    ["--ranks", str(ranks), "--threads", str(threads), "--parallel", name]))
    speeds = {way: median(values) for way, values in found.items()}
    alone = speeds["data", 1]
    print(table(["--parallel", "cores", "reviews/s", "speed-up", "efficiency"], [
        [name, str(used), f"{speed:,.0f}", f"{speed / alone:.2f}", f"{speed / alone / used:.0%}"]
        for (name, used), speed in speeds.items()]))
    return 0


def recurrent_part(store: Store, batch_size: int) -> float:
    """Part of the recurrent layers in the CPU time of a batch's forward and backward passes."""
    config = TrainingConfig.of(batch_size=batch_size)
    model = build(config.model_options(store))
    assert isinstance(model, Recurrent)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    batch = BatchReader(store, "train", batch_size, 0, 1).batch(0, 0)
    bounds = micro_batches(batch.lengths, config.data.micro_batch_tokens).tolist()
    seconds = {"recurrent": 0.0, "others": 0.0}
    for first, last in pairwise(bounds):
        rows = batch.take(first, last)
        draws = DropoutRandom.of(0, 0, 0, torch.arange(first, last))
        piece = MicroBatch(model, Inputs(
            to_tensors(rows, torch.device("cpu")), draws, torch.from_numpy(rows.labels), None))
        for group, stage in (
                ("others", piece.embed), ("recurrent", piece.recur),
                ("others", lambda piece=piece: piece.logits().sum().backward()),
                ("recurrent", piece.recur_back), ("others", piece.embed_back)):
            started = time.thread_time()
            stage()
            seconds[group] += time.thread_time() - started
    return seconds["recurrent"] / sum(seconds.values())


def _ways(cores: int) -> list[tuple[str, int, int, int]]:
    """(--parallel, cores, ranks, threads of each) on 1, 2, 4, ... cores."""
    counts = [1 << power for power in range(cores.bit_length())]
    return [("data", 1, 1, 1), *(
        way for used in counts[1:]
        for way in (("data", used, used, 1), ("model", used, used // GROUPS, GROUPS)))]


def _speed(
    store: str, run: Path, cores: Collection[int], options: argparse.Namespace,
    extra: Sequence[str],
) -> float:
    """Reviews a second of a training on these cores."""
    measure([
        sys.executable, "-m", "reviewmill", "train", str(store), "--out", str(run), "--overwrite",
        "--config", "plain-lstm", "--keep", "last", "--batch-size", str(options.batch_size),
        "--max-steps", str(WARM_UP + options.updates), "--epochs", "99", *extra], cores)
    steps = [record for record in read_records(run)
             if record and record["kind"] == "step"][WARM_UP:]
    return sum(step["reviews"] for step in steps) / sum(step["step_s"] for step in steps)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"python -m benchmarks.ranks.model_parallel: {error}", file=sys.stderr)
        sys.exit(2)
