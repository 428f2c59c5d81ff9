"""`reviewmill bench engines`: what each engine costs to start, and weak scaling on this machine."""

import argparse
import contextlib
import importlib.util
import json
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.measure import machine, measure, table
from cluster.spark import LocalSpark
from mapreduce.engines import hadoop
from mapreduce.engines.options import EngineOptions
from mapreduce.engines.run_job import ENGINES
from reviews.errors import UserError
from reviews.generate import generate
from reviews.options import make_parser
from reviews.storage.folders import delete, join, put, read_whole

FEW = 100  # reviews: what is left of the seconds is the engine's start
FILES = 4  # of each worker
REVIEWS = (200_000, 2_000_000)


def main(argv: Sequence[str]) -> int:
    """Run the benchmark and print a table for each number of reviews."""
    parser = make_parser(
        "reviewmill bench engines",
        "The same preparation on every engine: start-up, reviews/s, and the same work per worker "
        "on 1 and 2 workers.",
    )
    parser.add_argument("--reviews", type=int, nargs="+", default=REVIEWS, metavar="N",
                        help="reviews for each worker (default: 200,000, and then 2,000,000)")
    parser.add_argument("--runners", nargs="+", choices=tuple(ENGINES), metavar="RUNNER",
                        help="engines (default: all that are here; EMR only by name)")
    options = parser.parse_args(argv)
    if min(options.reviews) < FEW:
        raise UserError(f"give --reviews {FEW} or more")
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as folder:
        _compare(Path(folder), options)
    return 0


def _compare(top: Path, options: argparse.Namespace) -> None:
    few = generate(top / "few" / "reviews.json.gz", FEW)
    print(f"{machine()}\nfrom raw files to a store")
    # Kernels are compiled once per installation; that is not part of any run.
    measure([sys.executable, "-m", "mapreduce.compile_kernels"])
    runners = options.runners or [name for name in ENGINES if name != "emr"]
    absent = {runner: why for runner in runners if (why := why_absent(runner))}
    present = [runner for runner in runners if runner not in absent]
    starts: dict[str, float] = {}
    for reviews in options.reviews:
        folder = top / str(reviews)
        sources = generate(folder / "reviews.json.gz", 2 * reviews, files=2 * FILES)
        rows = []
        for runner in present:
            with _running(runner, top) as (home, arguments):
                seconds = partial(_seconds, home, runner, arguments)
                if runner not in starts:
                    starts[runner] = seconds(few, 1)
                one = seconds(sources[:FILES], 1)
                two = seconds(sources, 1 if runner == "inline" else 2)
            rows.append([runner, f"{starts[runner]:.1f}", f"{one:.1f}", f"{reviews / one:,.0f}",
                         f"{two:.1f}", f"{2 * reviews / two:,.0f}",
                         "" if runner == "inline" else f"{one / two:.0%}"])
        shutil.rmtree(folder)
        print(f"\n{reviews:,} generated reviews on 1 worker, in {FILES} .gz files, and "
              f"{2 * reviews:,} in {2 * FILES} on 2 (inline has one core for both)\n")
        header = ["", "start s", "1 worker s", "reviews/s", "2 workers s", "reviews/s",
                  "efficiency"]
        print(table(header, rows), flush=True)
    print("\n".join(f"{runner}: {why}" for runner, why in absent.items()))


def why_absent(runner: str) -> str:
    """Reason why an engine cannot be had here, empty where it can."""
    if runner == "hadoop":
        try:
            hadoop.check(EngineOptions(runner=runner))
        except UserError as error:
            return str(error)
    if runner == "spark" and importlib.util.find_spec("pyspark") is None:
        return "not installed (pip install 'reviewmill[spark]')"
    if runner == "spark" and not shutil.which("java"):
        return "no java on the PATH"
    if runner == "dask" and importlib.util.find_spec("distributed") is None:
        return "not installed (pip install 'reviewmill[dask]')"
    return ""


@contextlib.contextmanager
def _running(runner: str, top: Path) -> Iterator[tuple[str, list[str]]]:
    """Folder of an engine's reviews and store, and the command's options of its cluster."""
    if runner == "hadoop":
        home = join(hadoop.work_dir(), f"bench-{uuid.uuid4().hex[:12]}")
        try:
            yield home, []
        finally:
            delete(home)
    elif runner == "spark":
        with LocalSpark(top / "cluster") as address:
            yield str(top), ["--spark-master", address]
    else:
        yield str(top), []


def _seconds(
    home: str, runner: str, arguments: Sequence[str], sources: Sequence[Path], workers: int
) -> float:
    """The wall seconds of one run, as prepare.json has them; files of Hadoop lie in HDFS then."""
    store, inputs = join(home, "store"), [str(path) for path in sources]
    if runner == "hadoop":
        inputs = [join(home, f"reviews/{path.name}") for path in sources]
        for path, address in zip(sources, inputs, strict=True):
            put(path, address)
    measure([sys.executable, "-m", "reviewmill", "prepare", *inputs, "--overwrite", "--out", store,
             "--runner", runner, "--workers", str(workers), *arguments])
    return float(json.loads(read_whole(join(store, "prepare.json")))["seconds"])
