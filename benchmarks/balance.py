"""`reviewmill bench balance`: what unequal ranks reach of the sum of their speeds.

The ranks are processes on parts of a core; the fastest has 80 % of one.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import simulation
from benchmarks.inputs import store_or_generated
from benchmarks.measure import machine, output_of, table
from benchmarks.throttle import quotas
from cluster.mpirun import mpirun_command
from mpi_train.configuration.presets import CONFIGS
from reviews.errors import UserError
from reviews.options import make_parser
from reviews.store import Store

MIXES = ("1,1", "2,1", "4,1", "4,3,2,1", "8,1,1")
BATCHES = (4096, 1024)
JUMP_UPDATES = 24
HEADER = ["ranks", "batch", "reviews/s", "efficiency", "ceiling", "of it", "equal", "2019",
          "predicted within", "parked", "cold", "slower", "back"]
DDP_HEADER = ["ranks", "batch", "images/s", "efficiency", "equal"]
DDP_BATCH, DDP_UPDATES = 256, 32


def main(argv: Sequence[str]) -> int:
    """Run the benchmark, or the simulation, and print a table."""
    if "--simulate" in argv:
        return simulation.main(argv)
    parser = make_parser("reviewmill bench balance",
                         "Unequal ranks on this machine; --simulate: up to 256 in numbers only.")
    parser.add_argument("store", nargs="?", metavar="STORE",
                        help="store to train on (default: 40,000 generated reviews)")
    parser.add_argument("--config", default="plain-lstm", choices=CONFIGS, metavar="NAME",
                        help="training by its name; its batch size is that of --batch-size "
                        "(default: plain-lstm, with the last output pooled)")
    parser.add_argument("--speeds", metavar="4,2,1,1", nargs="+", default=MIXES,
                        help=f"one mix of ranks or more (default: {' '.join(MIXES)})")
    parser.add_argument("--batch-size", type=int, metavar="N", nargs="+", default=BATCHES,
                        help="over all ranks (default: 4096 and 1024)")
    parser.add_argument("--fastest", type=float, default=0.8, metavar="PART",
                        help="of a core that the fastest rank has (default: 0.8)")
    parser.add_argument("--jumps", type=int, nargs="?", default=0, const=JUMP_UPDATES, metavar="N",
                        help="also let the last rank turn 4 times slower, and back, for N updates "
                        f"each ({JUMP_UPDATES})")
    parser.add_argument("--ddp", action="store_true",
                        help="instead: a small CNN under torch's DDP, balanced as in "
                        f"docs/balance-your-own.md, batch {DDP_BATCH}")
    parser.add_argument("--pairs", type=int, default=5, metavar="N",
                        help="phases together and alone, in turns; medians count")
    parser.add_argument("--updates", type=int, default=0, metavar="N",
                        help="updates of a phase (default: 8,192 reviews' worth, 2 to 64; "
                        f"--ddp: {DDP_UPDATES})")
    options = parser.parse_args(argv)
    mixes = [speeds(text) for text in options.speeds]
    if min(options.pairs, *options.batch_size) < 1 or min(options.updates, options.jumps) < 0:
        raise UserError("give --pairs and --batch-size 1 or more, --updates and --jumps 0 or more")
    if not 0 < options.fastest <= 1:
        raise UserError(f"--fastest is a part of a core, over 0 and up to 1, not {options.fastest}")
    if options.ddp:
        print(f"{machine()}; CNN under DDP; medians of {options.pairs} pairs\n")
        print(table(DDP_HEADER, [_ddp_row(mix, options) for mix in mixes]))
        return 0
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as folder:
        path = store_or_generated(options.store, Path(folder), 40_000)
        what = ("lstm 100 -> 64, pooling last, fp32, Adam" if options.config == "plain-lstm"
                else f"--config {options.config}")
        print(f"{machine()}; {what}, length {Store(path).length}; "
              f"medians of {options.pairs} pairs\n")
        rows = [_row(path, mix, batch, options) for batch in options.batch_size for mix in mixes]
        print(table(HEADER, rows))
    print("""
efficiency: reviews/s as a share of the sum of what the ranks reach at the same time by themselves
ceiling: the same with perfect shares and what each rank itself spends on the exchange
equal, 2019: efficiency with equal shares, and with shares in proportion to tokens a second
predicted within: median error of the balancer's step times
parked: ranks that the others are better off without
cold, slower, back: updates until a step takes what it does later, from equal shares, after the last
rank turned 4 times slower, and after it recovered (--jumps)""")
    return 0


def speeds(text: str) -> list[float]:
    """Relative speeds as --speeds has them."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < speed < float("inf") for speed in found):
        raise UserError(f"--speeds are positive numbers like 4,2,1,1, not {text!r}")
    return found


def _row(store: str, mix: Sequence[float], batch: int, options: argparse.Namespace) -> list[str]:
    updates = options.updates or default_updates(batch)
    figures = run(parts(mix, options.fastest), [
        "benchmarks.ranks.balance", store, "--config", options.config, "--batch-size", str(batch),
        "--pairs", str(options.pairs), "--updates", str(updates), "--jumps", str(options.jumps)])
    print(json.dumps({"speeds": mix, "batch": batch, **figures}), file=sys.stderr, flush=True)
    efficiency, ceiling = figures["efficiency"], figures["ceiling"]
    return [_name(mix), f"{batch:,}",
            f"{figures['reviews_per_s']:,.0f}", f"{efficiency:.1%}", f"{ceiling:.1%}",
            f"{efficiency / ceiling:.1%}", f"{figures['equal']:.1%}", f"{figures['2019']:.1%}",
            f"{figures['prediction_error']:.1%}",
            *(str(figures.get(name, "")) for name in ("parked", "cold", "slower", "back"))]


def _ddp_row(mix: Sequence[float], options: argparse.Namespace) -> list[str]:
    figures = run(parts(mix, options.fastest), [
        "benchmarks.ranks.ddp", "--batch-size", str(DDP_BATCH),
        "--pairs", str(options.pairs), "--updates", str(options.updates or DDP_UPDATES)])
    return [_name(mix), f"{DDP_BATCH}", f"{figures['images_per_s']:,.0f}",
            f"{figures['efficiency']:.1%}", f"{figures['equal']:.1%}"]


def _name(mix: Sequence[float]) -> str:
    return ":".join(f"{speed:g}" for speed in mix)


def default_updates(batch: int) -> int:
    """Updates of a phase: as long as measurement needs, and bounded for tiny batches."""
    return min(max(8192 // batch, 2), 64)


def parts(mix: Sequence[float], fastest: float) -> list[float]:
    """Of a core for each rank, when the fastest has so much."""
    return [fastest * speed / max(mix) for speed in mix]


def run(cores: Sequence[float], program: Sequence[str]) -> dict[str, Any]:
    """Start ranks on these parts of a core; return what rank 0 prints as its last line of JSON.

    Args:
        program: a module that takes the ranks' control groups as --quotas, and their parts of a
            core as --parts, and its other arguments.
    """
    with quotas(cores) as folders:
        command = mpirun_command(len(cores), [
            sys.executable, "-m", *program, "--parts", *map(str, cores),
            "--quotas", *map(str, folders)])
        printed = output_of(command)
    figures: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return figures
