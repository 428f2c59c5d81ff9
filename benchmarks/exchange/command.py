"""`reviewmill bench exchange`: ways of summing gradients, on the hosts at hand."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.inputs import store_or_generated
from cluster.mpirun import launch
from reviews.errors import UserError
from reviews.options import make_parser

BACKENDS = "gloo,shm+gloo"
TRAINING = ("--model=cnn", "--batch-size=64")


def main(argv: Sequence[str]) -> int:
    """Train by each backend in turns, on all ranks; rank 0 prints a table."""
    parser = make_parser("reviewmill bench exchange",
                         "Time of the exchange of gradients, and reviews/s, by each backend.")
    parser.add_argument("store", nargs="?", metavar="STORE",
                        help="store to train on (default: 10,000 generated reviews)")
    parser.add_argument("--hostfile", metavar="FILE", help="hosts, as `train` has them")
    parser.add_argument("--ranks", type=int, metavar="N",
                        help="number of ranks (default: all slots of the hosts)")
    parser.add_argument("--backends", default=BACKENDS, metavar="NAMES",
                        help=f"of gloo, shm+gloo and mpi (default: {BACKENDS})")
    parser.add_argument("--turns", type=int, default=7, metavar="N",
                        help="of each backend, by which medians are taken (default: 7)")
    parser.add_argument("--updates", type=int, default=4, metavar="N",
                        help="of a turn (default: 4)")
    parser.epilog = f"Options of `train` follow --; default: {' '.join(TRAINING)}"
    own = [*argv, "--"].index("--")
    options, training = parser.parse_args(argv[:own]), argv[own + 1 :]
    if min(options.turns, options.updates) < 1:
        raise UserError("give --turns and --updates 1 or more")
    if not {*options.backends.split(",")} <= {"gloo", "shm+gloo", "mpi"}:
        raise UserError(f"--backends are of gloo, shm+gloo and mpi, not {options.backends}")
    if not (options.ranks or options.hostfile):
        raise UserError("give --ranks, --hostfile, or both")
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as folder:
        store = store_or_generated(options.store, Path(folder), 10_000)
        return launch(options.ranks, [
            sys.executable, "-m", "benchmarks.exchange.rank", str(Path(store).resolve()),
            f"--backends={options.backends}", f"--turns={options.turns}",
            f"--updates={options.updates}", "--", *(training or TRAINING)], options.hostfile)
