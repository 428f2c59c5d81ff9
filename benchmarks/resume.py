"""`reviewmill bench resume`: preparations that are killed once and go on, beside unbroken ones."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.measure import machine, measure, table
from reviews.errors import UserError
from reviews.generate import generate
from reviews.options import make_parser
from reviews.storage.folders import sha256
from reviews.store import Store

FILES, LENGTH = 8, 0.6


@dataclass(frozen=True)
class Outcome:
    """Seconds of one run, in as many calls as it took."""

    seconds: float
    killed_at: float | None  # seconds after its start; None where it had ended before
    fingerprint: str


def main(argv: Sequence[str]) -> int:
    """Run the benchmark and print its table."""
    parser = make_parser(
        "reviewmill bench resume",
        "Preparations on this machine that are killed at a random moment and called again.")
    parser.add_argument("--reviews", type=int, default=2_000_000, metavar="N",
                        help="reviews generated (default: 2,000,000)")
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="runs that are killed")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes")
    options = parser.parse_args(argv)
    if options.reviews < 100 or options.runs < 1 or options.workers < 1:
        raise UserError("give --reviews 100 or more, --runs and --workers 1 or more")
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as temporary:
        folder = Path(temporary)
        files = generate(folder / "reviews.json", options.reviews, files=FILES, length=LENGTH)
        measure([sys.executable, "-m", "mapreduce.compile_kernels"])
        print(f"{machine()}\n{options.reviews:,} reviews in {FILES} files, {options.workers} "
              f"workers, {options.runs} runs with one SIGKILL each", flush=True)
        unbroken, killed = compare(list(map(str, files)), folder / "store", options.runs,
                                   options.workers)
    print(report(unbroken, killed))
    return 0


def compare(
    files: Sequence[str], out: Path, runs: int, workers: int, seed: int = 0
) -> tuple[list[Outcome], list[Outcome]]:
    """Unbroken runs, one before every fourth killed one, and the killed ones.

    Raises UserError where a store is another one.
    """
    rng, unbroken, killed = random.Random(seed), list[Outcome](), list[Outcome]()
    for number in range(runs):
        if number % 4 == 0:
            unbroken.append(one_run(files, out, workers, None))
        usual = median(run.seconds for run in unbroken)
        run = one_run(files, out, workers, rng.uniform(0, usual))
        while run.killed_at is None:  # it had ended before
            run = one_run(files, out, workers, rng.uniform(0, usual))
        killed.append(run)
        if len({run.fingerprint for run in [*unbroken, *killed]}) > 1:
            raise UserError(f"run {number} made another store")
    return unbroken, killed


def one_run(files: Sequence[str], out: Path, workers: int, kill_s: float | None) -> Outcome:
    """Prepare a store, killed once after so many seconds and then called again."""
    command = [sys.executable, "-m", "reviewmill", "prepare", *files, "--out", str(out),
               "--runner", "local", "--workers", str(workers), "--resume"]
    began, killed_at = time.perf_counter(), None
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if kill_s is not None:
        try:
            process.communicate(timeout=kill_s)
        except subprocess.TimeoutExpired:
            killed_at = time.perf_counter() - began
            os.kill(process.pid, signal.SIGKILL)
    said = process.communicate()[1]
    if killed_at is not None and not out.exists():
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        said = process.communicate()[1]
    seconds = time.perf_counter() - began
    if process.returncode and not out.exists():
        raise UserError(f"prepare failed: {said.decode(errors='replace').strip()[-500:]}")
    fingerprint = sha256(out / "manifest.json")
    assert Store(out).rows("train"), "the store cannot be read"
    shutil.rmtree(out)
    shutil.rmtree(out.with_name(f".{out.name}.partial"), ignore_errors=True)
    return Outcome(seconds, killed_at, fingerprint)


def report(unbroken: Sequence[Outcome], killed: Sequence[Outcome]) -> str:
    """Table of both kinds, and by how much a kill makes a run longer."""
    usual = median(run.seconds for run in unbroken)
    rows = [[name, str(len(runs)), f"{min(times):.1f}", f"{median(times):.1f}", f"{max(times):.1f}"]
            for name, runs in (("unbroken", unbroken), ("killed once, called again", killed))
            for times in [[run.seconds for run in runs]]]
    longer = median(run.seconds for run in killed) / usual - 1
    return "\n".join([table(["seconds", "runs", "least", "median", "most"], rows),
                      f"{longer:+.0%} in the median; all stores are the same"])
