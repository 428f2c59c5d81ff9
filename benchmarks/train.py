"""`reviewmill bench train`: beside plain torch DDP, and beside what the hardware allows."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.inputs import store_or_generated
from benchmarks.measure import machine, output_of, table
from mpi_train.configuration.config import TrainingConfig
from mpi_train.monitoring.phase_timer import PHASES
from reviews.errors import UserError
from reviews.options import flatten, make_parser, replace_flat
from reviews.run_folder import read_records
from reviews.store import Store

WARM_UP = 5  # updates that are not counted

# The peers: what is done to the sequences. The slow ones take minutes, and are measured once.
PEERS = {
    "torch DDP, padded": ("--inputs", "padded"),
    "torch DDP, cut to the longest": ("--inputs", "longest"),
}
SLOW_PEERS = {
    "torch DDP, packed": ("--inputs", "packed"),
    "torch DDP, padded, denormals kept": ("--inputs", "padded", "--keep-denormals"),
}
SLOW_UPDATES = 2


@dataclass(frozen=True)
class Steps:
    """Some updates of a run of the trainer."""

    reviews_per_s: float
    tokens_per_s: float
    phases: dict[str, float]  # seconds of all of them


def main(argv: Sequence[str]) -> int:
    """Run the benchmark and print its tables."""
    parser = make_parser("reviewmill bench train", "Train beside plain torch DDP scripts.")
    parser.add_argument("store", nargs="?", metavar="STORE",
                        help="store to train on (default: 30,000 generated reviews)")
    parser.add_argument("--ranks", type=int, default=2, metavar="N")
    parser.add_argument("--updates", type=int, default=20, metavar="N", help="updates counted")
    parser.add_argument("--batch-size", type=int, default=1024, metavar="N", help="over all ranks")
    parser.add_argument("--hidden-dim", type=int, default=64, metavar="N")
    parser.add_argument("--bidirectional", action="store_true")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="runs; medians count")
    parser.add_argument("--slow-peers", action="store_true",
                        help="scripts that pack sequences or keep denormal numbers, too")
    options = parser.parse_args(argv)
    if min(options.ranks, options.updates, options.repeat) < 1:
        raise UserError("give --ranks, --updates and --repeat 1 or more")
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as folder:
        path = store_or_generated(options.store, Path(folder), 30_000)
        store, run = Store(path), Path(folder) / "run"
        config = TrainingConfig.of(batch_size=options.batch_size, hidden_dim=options.hidden_dim,
                                   bidirectional=options.bidirectional)
        shape = flatten(config.network)
        print(f"{machine()}; {options.ranks} ranks\n{config.model}, embedding "
              f"{shape['embedding_dim']}, hidden {shape['hidden_dim']}"
              f"{' x 2' if shape['bidirectional'] else ''}, mean and maximum, batch "
              f"{config.data.batch_size}, length {store.length}; median of {options.repeat}\n")
        _compare(store, config, options, run)
        _figures(store, config, options, run)
    return 0


def _compare(
    store: Store, config: TrainingConfig, options: argparse.Namespace, run: Path
) -> None:
    """Reviews a second, beside plain scripts."""
    found: dict[str, list[float]] = {name: [] for name in (*PEERS, "reviewmill")}
    for _ in range(options.repeat):
        # In turns, so that a slow minute of the machine hits all of them.
        for name, extra in PEERS.items():
            found[name].append(plain(store, config, options.ranks, options.updates, extra))
        steps = own(store, config, options.ranks, options.updates, run)
        found["reviewmill"].append(steps.reviews_per_s)
    speeds = {name: median(values) for name, values in found.items()}
    if options.slow_peers:
        for name, extra in SLOW_PEERS.items():
            speeds[name] = plain(store, config, options.ranks, SLOW_UPDATES, extra, warm_up=1)
    peer = next(iter(speeds.values()))
    rows = [[name, f"{speed:,.0f}", f"{speed / peer:.2f}"] for name, speed in speeds.items()]
    print(table(["", "reviews/s", "ratio"], rows))


def _figures(
    store: Store, config: TrainingConfig, options: argparse.Namespace, run: Path
) -> None:
    """Print the speed of training beside the limits of hardware and plan."""
    bare, crowd, alone, one, several = [], [], [], [], []
    loop_of = [sys.executable, "-m", "benchmarks.peers.bare_loop", str(store.path), "--updates",
               str(options.updates), "--ranks", str(options.ranks), *_shape(config)]
    larger = replace_flat(config, batch_size=2 * config.data.batch_size)
    for _ in range(options.repeat):
        bare += at_once(loop_of, 1)
        crowd.append(sum(loops["tokens_per_s"] for loops in at_once(loop_of, options.ranks)))
        alone.append(own(store, config, 1, options.updates, run))
        half = max(1, options.updates // 2)
        one.append(own(store, larger, 1, half, run).reviews_per_s)
        several.append(own(store, larger, options.ranks, half, run).reviews_per_s)
    speed = median(steps.tokens_per_s for steps in alone)
    loop = median(loops["tokens_per_s"] for loops in bare)
    phases = {name: median(steps.phases[name] / sum(steps.phases.values()) for steps in alone)
              for name in PHASES}
    rows = [
        ["tokens/s of one rank, of a bare forward and backward loop's", f"{speed / loop:.1%}"],
        ["real tokens among those computed", f"{bare[0]['real_part']:.1%}"],
        [f"{options.ranks} ranks, of one rank's speed, batch {larger.data.batch_size}",
         f"{median(several) / median(one):.2f}"],
        [f"{options.ranks} bare loops at once, of one's speed: what the cores allow",
         f"{median(crowd) / loop:.2f}"],
        ["the loader alone, reviews per CPU second",
         f"{median(loops['loaded_per_s'] for loops in bare):,.0f}"],
        ["of an update: data", f"{phases['data']:.2%}"],
        ["of an update: neither forward, backward, optimizer nor exchange",
         f"{phases['data'] + phases['rest']:.2%}"],
    ]
    print("\n" + table(["", "measured"], rows))


def _shape(config: TrainingConfig) -> list[str]:
    """Options that all contenders share."""
    shape = flatten(config.network)
    return ["--batch-size", str(config.data.batch_size), "--hidden-dim", str(shape["hidden_dim"]),
            *(["--bidirectional"] if shape["bidirectional"] else [])]


def plain(
    store: Store, config: TrainingConfig, ranks: int, updates: int, extra: Sequence[str],
    warm_up: int = WARM_UP,
) -> float:
    """Reviews a second of a plain script."""
    shape = flatten(config.network)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(ranks),
        "-m", "benchmarks.peers.plain_ddp", str(store.path), "--updates", str(warm_up + updates),
        "--embedding-dim", str(shape["embedding_dim"]), "--dropout", str(shape["dropout"]),
        "--learning-rate", str(config.schedule.learning_rate), *_shape(config), *extra,
    ]
    seconds = json.loads(output_of(command).splitlines()[-1])
    return config.data.batch_size * updates / sum(seconds[warm_up:])


def own(store: Store, config: TrainingConfig, ranks: int, counted: int, run: Path) -> Steps:
    """Steps of the trainer in so many updates, on ranks of one thread each."""
    updates = WARM_UP + counted
    epochs = -(-updates * config.data.batch_size // store.rows("train"))
    output_of([
        sys.executable, "-m", "reviewmill", "train", str(store.path), "--out", str(run),
        "--overwrite", "--config", "plain-lstm", "--ranks", str(ranks), "--max-steps",
        str(updates), "--threads", "1", "--epochs", str(epochs), "--keep", "last",
        *_shape(config),
    ])
    steps = [record for record in read_records(run)
             if record and record["kind"] == "step"][WARM_UP:]
    seconds = sum(step["step_s"] for step in steps)
    return Steps(sum(step["reviews"] for step in steps) / seconds,
                 sum(step["tokens"] for step in steps) / seconds,
                 {name: sum(step["phases"][name] for step in steps) for name in PHASES})


def at_once(command: Sequence[str], processes: int) -> list[dict[str, float]]:
    """Output of each of some equal processes that start together."""
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
               for _ in range(processes)]
    printed = [process.communicate()[0] for process in running]
    for process in running:
        if process.returncode:
            raise UserError(f"{' '.join(command[:5])} ... failed ({process.returncode})")
    return [json.loads(text) for text in printed]
