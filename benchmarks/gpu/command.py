"""`reviewmill bench gpu`: how fast one GPU trains, what bounds it, and two ranks that share it.

It prints each figure as soon as it is there, and ends before --minutes are over.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.card import PRODUCTS, copied_a_second, description, products_a_second
from benchmarks.gpu.trainer import Speed, Trainer, loaded_a_second
from benchmarks.gpu.workloads import WORKLOADS
from benchmarks.inputs import store_or_generated
from cluster.mpirun import mpirun_command
from mpi_train.exchange.devices import check_device
from mpi_train.exchange.process_setup import has_bf16, prepare_process
from reviews.errors import UserError
from reviews.options import make_parser
from reviews.recipe import Recipe
from reviews.store import Store

LENGTH = 100  # ids of a review, as in 2019
SIZES = (1 << 14, 1 << 16, 1 << 18, 1 << 20)  # padded tokens of a micro-batch
RANKS = "ranks"  # name of the part with two of them
RANKS_BATCH, RANKS_UPDATES = 4096, 40
CORPUS, AIM_MIN = 10 * 19_200_000, 3  # reviews of 10 epochs in 2019, minutes


def main(argv: Sequence[str]) -> int:
    """Run the benchmark, and print as it goes."""
    options = _parser().parse_args(argv)
    check_device(options.device)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device {options.device}: torch finds no GPU here")
    if options.seconds <= 0 or options.minutes <= 0 or min(options.micro_batch_tokens) < 1:
        raise UserError("give --seconds and --minutes above 0, --micro-batch-tokens 1 or more")
    prepare_process(0, 1)
    if device.type == "cuda":
        device = torch.device("cuda", device.index or 0)
        torch.cuda.set_device(device)
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as folder:
        Bench(options, device, Path(folder)).run()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("reviewmill bench gpu", "Train on one GPU, and look at what bounds it.")
    parser.add_argument("store", nargs="?", metavar="STORE",
                        help=f"store to train on (default: generated reviews, length {LENGTH})")
    parser.add_argument("--reviews", type=int, default=600_000, metavar="N",
                        help="reviews to generate (default: 600,000)")
    parser.add_argument("--device", default="cuda", metavar="DEVICE", help="cuda, cuda:N, or cpu")
    parser.add_argument("--only", nargs="+", choices=(*WORKLOADS, RANKS), metavar="NAME",
                        default=(*WORKLOADS, RANKS), help="some parts: "
                        + ", ".join((*WORKLOADS, RANKS)))
    parser.add_argument("--precision", nargs="+", choices=PRODUCTS, default=tuple(PRODUCTS),
                        help="fp32, bf16 (default: both, where the device has bf16)")
    parser.add_argument("--batch-size", type=int, nargs="+", metavar="N",
                        help="in place of those of each training")
    parser.add_argument("--micro-batch-tokens", type=int, nargs="+", default=SIZES, metavar="N",
                        help="sizes of a micro-batch, of which the fastest counts (default: "
                        f"{' '.join(map(str, SIZES))})")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S",
                        help="of a measurement (default: 2)")
    parser.add_argument("--minutes", type=float, default=8.0, metavar="M",
                        help="after which nothing more is begun (default: 8)")
    return parser


def say(line: str) -> None:
    """A line, at once."""
    print(line, flush=True)


class Bench:
    """One run of the benchmark."""

    def __init__(self, options: argparse.Namespace, device: torch.device, folder: Path) -> None:
        self._options, self._device = options, device
        self._ends = time.monotonic() + 60 * options.minutes
        say(description(device))
        precisions = [name for name in options.precision if name != "bf16" or has_bf16(device)]
        self._peaks = {name: products_a_second(device, name) for name in precisions}
        say("; ".join(f"{name} {peak / 1e12:.3g} TFLOP/s" for name, peak in self._peaks.items())
            + f" in products of matrices; copies {copied_a_second(device) / 1e9:,.0f} GB/s")
        self._store = Store(store_or_generated(
            options.store, folder, options.reviews, Recipe.of(length=LENGTH)))
        words = self._store.manifest["splits"]["train"]["words"]
        rows = self._store.rows("train")
        say(f"{rows:,} reviews, {words / rows:.1f} words each, cut at {self._store.length}; "
            f"{self._store.vocabulary_size:,} ids")

    def run(self) -> None:
        """All parts that were asked for."""
        only = self._options.only
        for name in WORKLOADS:
            if name in only:
                found = [self._row(name, batch, precision) for batch in self._batches(name)
                         for precision in WORKLOADS[name].precisions if precision in self._peaks]
                if name == "2019":
                    self._against_2019([speed for speed in found if speed])
            if name == "2019" and RANKS in only and not self._is_late(RANKS):
                self._two_ranks()

    def _batches(self, name: str) -> Sequence[int]:
        return self._options.batch_size or WORKLOADS[name].batches

    def _is_late(self, what: str) -> bool:
        late = time.monotonic() > self._ends
        if late:
            say(f"{what}: left out, {self._options.minutes:g} minutes are over")
        return late

    def _row(self, name: str, batch: int, precision: str) -> Speed | None:
        """A training at the size of micro-batches that is the fastest."""
        workload = WORKLOADS[name]
        title = f"{workload.title}, {precision}, batch {batch:,}"
        if self._is_late(title):
            return None
        sizes = [size for size in sorted(self._options.micro_batch_tokens)
                 if size <= workload.most_tokens] or [workload.most_tokens]
        # A size that holds the whole batch is the last of use.
        whole = next((i for i, size in enumerate(sizes) if size >= batch * LENGTH), len(sizes) - 1)
        speeds = {size: self._measure(name, batch, precision, size, False).reviews_per_s
                  for size in sizes[: whole + 1]}
        best = max(speeds, key=speeds.__getitem__)
        speed = self._measure(name, batch, precision, best, True)
        share = speed.operations_per_s / self._peaks[precision]
        say(f"{title}: {speed.reviews_per_s:,.0f} reviews/s, {speed.tokens_per_s / 1e6:.2f} M "
            "tokens/s; " + (f"{share:.1%} of the peak; " if share else "")
            + f"{speed.memory / 1e9:.2f} GB; "
            + ("" if speed.busy is None else f"device busy {speed.busy:.0%}; ")
            + f"bound by {speed.bound()}")
        say("    micro-batches: " + ", ".join(
            f"{size:,} tokens {found:,.0f}" for size, found in speeds.items())
            + "; program: " + ", ".join(f"{phase} {part:.0%}"
                                        for phase, part in speed.phases.items()))
        return speed

    def _measure(
        self, name: str, batch: int, precision: str, size: int, trace: bool
    ) -> Speed:
        trainer = Trainer(WORKLOADS[name], self._store, self._device, batch_size=batch,
                          precision=precision, micro_batch_tokens=size)
        return trainer.measure(self._options.seconds, trace)

    def _against_2019(self, speeds: Sequence[Speed]) -> None:
        """The loader, and the whole work, beside the fastest training."""
        if not speeds or self._is_late("the loader"):
            return
        fastest = max(speed.reviews_per_s for speed in speeds)
        for batch in self._batches("2019"):
            loaded = loaded_a_second(self._store, batch, max(self._options.micro_batch_tokens),
                                     self._device, self._options.seconds)
            say(f"the loader by itself, batch {batch:,}: {loaded:,.0f} reviews/s to the device, "
                f"{loaded / fastest:.2f} times the fastest training above")
        say(f"10 epochs of 19.2 M reviews at {fastest:,.0f} reviews/s: {CORPUS / fastest / 60:.1f} "
            f"minutes; the aim: under {AIM_MIN}")

    def _two_ranks(self) -> None:
        """Two ranks on the device under gloo, one of them loaded for a while."""
        batch = (self._options.batch_size or [RANKS_BATCH])[0]
        precision = next(iter(self._peaks))
        done = subprocess.run(mpirun_command(2, [
            sys.executable, "-m", "benchmarks.gpu.rank", str(self._store.path), "--device",
            str(self._device), "--precision", precision, "--batch-size", str(batch),
            "--updates", str(RANKS_UPDATES)]), capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"two ranks failed: {done.stderr.strip()[-1500:]}")
        found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
        say(f"two ranks on {self._device} under gloo, {precision}, batch {batch:,}; rank 1 has a "
            "load of its own for a while:")
        for name, figures in found.items():
            shares, total = figures["shares"], sum(figures["shares"])
            waits = ", ".join(f"{1e3 * seconds:.1f}" for seconds in figures["wait_s"])
            computes = ", ".join(f"{1e3 * seconds:.1f}" for seconds in figures["compute_s"])
            say(f"    {name}: shares {shares[0] / total:.0%} and {shares[1] / total:.0%}, "
                f"{figures['reviews_per_s']:,.0f} reviews/s, efficiency "
                f"{figures['efficiency']:.0%}; own work {computes} ms, waiting {waits} ms; rank "
                f"0's passes by the device's events {1e3 * figures['device_s']:.1f} ms")
