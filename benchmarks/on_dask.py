"""`reviewmill bench dask`: the runner dask beside pandas and plain Dask, on the same cores."""

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.measure import machine, measure, table
from benchmarks.polarity import RECIPE, write_polarity
from reviews.errors import UserError
from reviews.options import make_parser

REVIEWS = 3_600_000
JOBS = {"clean": "lower case, letters only, spaces squeezed, to Parquet",
        "store": "from raw text to a store of token ids"}


def main(argv: Sequence[str]) -> int:
    """Run the benchmark and print its two tables."""
    parser = make_parser(
        "reviewmill bench dask",
        "Polarity reviews in fastText's format, cleaned alone and prepared into a store.")
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
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as folder:
        source = Path(folder, "reviews.txt")
        size = write_polarity(source, options.reviews)
        print(f"{machine()}\n{options.reviews:,} reviews, {size / 1e6:,.0f} MB in fastText's "
              f"format, {options.workers} workers; median of {options.repeat}")
        for job, what in JOBS.items():
            found = _compare(Path(folder), source, job, options.workers, options.repeat)
            print(f"\n{what}\n\n{_speeds(found, options.reviews)}", flush=True)
    return 0


def _compare(
    folder: Path, source: Path, job: str, workers: int, repeat: int
) -> dict[str, list[float]]:
    """The seconds of each side, start and end of its processes included."""
    (recipe := folder / "recipe.yaml").write_text(RECIPE.to_yaml())
    python, target = [sys.executable, "-m"], folder / "out"
    peer = [*python, "benchmarks.polarity"]
    ours = [*python, "reviewmill", {"clean": "clean", "store": "prepare"}[job], str(source),
            "--recipe", str(recipe), "--out", str(target), "--workers", str(workers)]
    commands = {
        "pandas": [*peer, "pandas", job, str(source), str(target)],
        "plain Dask": [*peer, "dask", job, str(source), str(target), "--workers", str(workers)],
        "reviewmill, dask": [*ours, "--runner", "dask"],
        "reviewmill, local": [*ours, "--runner", "local"],
    }
    cores = set(sorted(os.sched_getaffinity(0), reverse=True)[:workers])
    measure([*python, "mapreduce.warm"])
    found: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(repeat):
        # In turns, so that a slow minute of the machine hits all of them.
        for name, command in commands.items():
            found[name].append(measure(command, cores).seconds)
            shutil.rmtree(target)
    return found


def _speeds(found: dict[str, list[float]], reviews: int) -> str:
    """Seconds and reviews a second; the first one is the measure."""
    first = median(next(iter(found.values())))
    rows = [[name, f"{median(times):.1f}", f"{reviews / median(times):,.0f}",
             f"{first / median(times):.2f}"] for name, times in found.items()]
    return table(["", "seconds", "reviews/s", "ratio"], rows)
