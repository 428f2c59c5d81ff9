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
from dataclasses import dataclass
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
JOBS = ("gather", "count", "encode")


@dataclass(frozen=True)
class Run:
    """Wall seconds of one run, and those of each of its jobs."""

    seconds: float
    jobs: dict[str, float]

    def cells(self) -> list[str]:
        """The seconds of the jobs, and what is left: planning, files put and fetched."""
        rest = self.seconds - sum(self.jobs.values())
        return [f"{seconds:.1f}" for seconds in (*(self.jobs[job] for job in JOBS), rest)]


@dataclass(frozen=True)
class Engine:
    """Runs of one engine: of few reviews, and of many for each worker."""

    name: str
    start: Run
    one: Run
    two: Run

    def rate(self, reviews: int) -> float:
        """Reviews/s of one worker without the seconds of the start; NaN where these are more."""
        worked = self.one.seconds - self.start.seconds
        return reviews / worked if worked > 0 else float("nan")


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
    starts: dict[str, Run] = {}
    for reviews in options.reviews:
        folder = top / str(reviews)
        sources = generate(folder / "reviews.json.gz", 2 * reviews, files=2 * FILES)
        engines = []
        for runner in present:
            with _running(runner, top) as (home, arguments):
                run = partial(_run, home, runner, arguments)
                if runner not in starts:
                    starts[runner] = run(few, 1)
                engines.append(Engine(runner, starts[runner], run(sources[:FILES], 1),
                                      run(sources, 1 if runner == "inline" else 2)))
        shutil.rmtree(folder)
        print(f"\n{reviews:,} generated reviews on 1 worker, in {FILES} .gz files, and "
              f"{2 * reviews:,} in {2 * FILES} on 2 (inline has one core for both)\n")
        print(report(engines, reviews), flush=True)
    print("\n".join(f"{runner}: {why}" for runner, why in absent.items()))


def report(engines: Sequence[Engine], reviews: int) -> str:
    """The table of all engines, and that of the seconds of their jobs."""
    local = [engine.rate(reviews) for engine in engines if engine.name == "local"]
    rows = []
    for engine in engines:
        one, two, rate = engine.one.seconds, engine.two.seconds, engine.rate(reviews)
        rows.append([
            engine.name, f"{engine.start.seconds:.1f}", f"{one:.1f}", f"{reviews / one:,.0f}",
            f"{rate:,.0f}", f"{rate / local[0]:.0%}" if local else "",
            f"{two:.1f}", f"{2 * reviews / two:,.0f}",
            "" if engine.name == "inline" else f"{one / two:.0%}"])
    header = ["", "start s", "1 worker s", "reviews/s", "without the start", "of local",
              "2 workers s", "reviews/s", "efficiency"]
    jobs = [[engine.name, what, *run.cells()]
            for engine in engines
            for what, run in (("start", engine.start), ("1 worker", engine.one),
                              ("2 workers", engine.two))]
    return "\n\n".join([table(header, rows), "seconds of each job, and of the driver beside them",
                        table(["", "", *JOBS, "the driver"], jobs)])


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


def _run(
    home: str, runner: str, arguments: Sequence[str], sources: Sequence[Path], workers: int
) -> Run:
    """The wall seconds of one run, as prepare.json has them; files of Hadoop lie in HDFS then."""
    store, inputs = join(home, "store"), [str(path) for path in sources]
    if runner == "hadoop":
        inputs = [join(home, f"reviews/{path.name}") for path in sources]
        for path, address in zip(sources, inputs, strict=True):
            put(path, address)
    measure([sys.executable, "-m", "reviewmill", "prepare", *inputs, "--overwrite", "--out", store,
             "--runner", runner, "--workers", str(workers), *arguments])
    told = json.loads(read_whole(join(store, "prepare.json")))
    return Run(told["seconds"], told["phases"])
