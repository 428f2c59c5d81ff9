"""`reviewmill bench dask`: the runner dask beside pandas and plain Dask, on the same cores."""

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import median

from benchmarks.measure import machine, measure, table
from benchmarks.peers.polarity import RECIPE, write_polarity
from reviews.errors import UserError
from reviews.options import make_parser

REVIEWS = 3_600_000
JOBS = {"load": "labels and texts of all reviews in memory",
        "clean": "lower case, letters only, spaces squeezed, to Parquet",
        "store": "from raw text to a store of token ids"}
# Bytes that pandas holds for each review; it gets as many as three quarters of the memory take.
HELD = {"load": 4_000, "clean": 4_000, "store": 12_000}


def main(argv: Sequence[str]) -> int:
    """Run the benchmark and print its tables."""
    parser = make_parser(
        "reviewmill bench dask",
        "Polarity reviews in fastText's format: loaded, cleaned, and prepared into a store.")
    parser.add_argument("--reviews", type=int, default=REVIEWS, metavar="N",
                        help=f"reviews generated (default: {REVIEWS:,})")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes, and cores")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="runs; medians count")
    options = parser.parse_args(argv)
    if options.reviews < 100 or options.workers < 1 or options.repeat < 1:
        raise UserError("give --reviews 100 or more, --workers and --repeat 1 or more")
    absent = [name for name in ("pandas", "distributed") if not importlib.util.find_spec(name)]
    if absent:
        raise UserError(f"{', '.join(absent)} not installed; "
                        "pip install 'reviewmill[bench,dask]'")
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as temporary:
        folder = Path(temporary)
        source = folder / "reviews.txt"
        size = write_polarity(source, options.reviews)
        print(f"{machine()}\n{options.reviews:,} reviews, {size / 1e6:,.0f} MB in fastText's "
              f"format, {options.workers} workers; median of {options.repeat}")
        for job, what in JOBS.items():
            few = min(options.reviews, held_in_memory(job))
            part = first_lines(source, folder / "part.txt", few)
            found = _compare(folder, source, part, job, options.workers, options.repeat)
            print(f"\n{what}\n\n{speeds(found, options.reviews, few)}", flush=True)
    return 0


def held_in_memory(job: str) -> int:
    """Number of reviews that pandas can take, which holds all of them at once."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4 // HELD[job]


def first_lines(source: Path, target: Path, lines: int) -> Path:
    """Write so many lines of a file to another one, and return that."""
    with source.open("rb") as every, target.open("wb") as some:
        some.writelines(islice(every, lines))
    return target


def _compare(
    folder: Path, source: Path, part: Path, job: str, workers: int, repeat: int
) -> dict[str, list[float] | str]:
    """The seconds of each side, start and end of its processes included; or why it failed.

    pandas reads the part, the others the source.
    """
    target = folder / "out"
    commands = _commands(folder, source, part, job, target, ["--workers", str(workers)])
    cores = set(sorted(os.sched_getaffinity(0), reverse=True)[:workers])
    measure([sys.executable, "-m", "mapreduce.compile_kernels"])
    found: dict[str, list[float] | str] = {name: [] for name in commands}
    for _ in range(repeat):
        # In turns, so that a slow minute of the machine hits all of them.
        for name, command in commands.items():
            if isinstance(times := found[name], str):
                continue
            try:
                times.append(measure(command, cores).seconds)
            except UserError as error:
                if "reviewmill" in name:
                    raise
                found[name] = str(error)
            shutil.rmtree(target, ignore_errors=True)
    return found


def _commands(
    folder: Path, source: Path, part: Path, job: str, target: Path, workers: list[str]
) -> dict[str, list[str]]:
    """The command of each side for a job; all write to the target, but for loading alone."""
    python = [sys.executable, "-m"]
    if job == "load":
        peer = [*python, "benchmarks.peers.loading"]
        return {
            "pandas": [*peer, "pandas", str(part)],
            "plain Dask": [*peer, "dask", str(source), *workers],
            "reviewmill, dask": [*peer, "reviewmill-dask", str(source), *workers],
            "reviewmill, local": [*peer, "reviewmill-local", str(source), *workers],
        }
    (recipe := folder / "recipe.yaml").write_text(RECIPE.to_yaml())
    peer = [*python, "benchmarks.peers.polarity"]
    ours = [*python, "reviewmill", {"clean": "clean", "store": "prepare"}[job], str(source),
            "--recipe", str(recipe), "--out", str(target), *workers]
    return {
        "pandas": [*peer, "pandas", job, str(part), str(target)],
        "plain Dask": [*peer, "dask", job, str(source), str(target), *workers],
        "reviewmill, dask": [*ours, "--runner", "dask"],
        "reviewmill, local": [*ours, "--runner", "local"],
    }


def speeds(found: dict[str, list[float] | str], reviews: int, few: int) -> str:
    """Seconds and reviews a second; the first one, which had a few, is the measure."""
    rows, failed, first = [], [], 0.0
    for name, times in found.items():
        if isinstance(times, str):
            failed.append(f"{name}: {times}")
            continue
        had = few if name == "pandas" else reviews
        speed = had / median(times)
        first = first or speed
        rows.append([name, f"{had:,}", f"{median(times):.1f}", f"{speed:,.0f}",
                     f"{speed / first:.2f}"])
    return "\n".join([table(["", "reviews", "seconds", "reviews/s", "ratio"], rows), *failed])
