"""`reviewmill bench engines`: what each engine costs to start, and weak scaling on this machine."""

import argparse
import contextlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.measure import machine, measure, table
from cluster.spark import LocalSpark
from mapreduce.engines import RUNNERS
from reviews.errors import UserError
from reviews.generate import generate
from reviews.options import make_parser

FEW = 100  # reviews: what is left of the seconds is the engine's start
FILES = 4  # of each worker


def main(argv: Sequence[str]) -> int:
    """Run the benchmark and print its table."""
    parser = make_parser(
        "reviewmill bench engines",
        "The same preparation on every engine: start-up, reviews/s, and the same work per worker "
        "on 1 and 2 workers.",
    )
    parser.add_argument("--reviews", type=int, default=200_000, metavar="N",
                        help="reviews for each worker (default: 200,000)")
    parser.add_argument("--runners", nargs="+", choices=RUNNERS, metavar="RUNNER",
                        help="engines (default: all that are here; EMR only by name)")
    options = parser.parse_args(argv)
    if options.reviews < FEW:
        raise UserError(f"give --reviews {FEW} or more")
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as folder:
        _compare(Path(folder), options)
    return 0


def _compare(top: Path, options: argparse.Namespace) -> None:
    sources = {
        name: generate(top / name / "reviews.json.gz", reviews, files=files)
        for name, reviews, files in (("few", FEW, 1), ("one", options.reviews, FILES),
                                     ("two", 2 * options.reviews, 2 * FILES))
    }
    print(f"{machine()}\n{options.reviews:,} generated reviews for each worker, in {FILES} .gz "
          "files; from raw files to a store\n")
    # Kernels are compiled once per installation; that is not part of any run.
    measure([sys.executable, "-m", "mapreduce.warm"])
    rows, absent = [], []
    for runner in options.runners or [name for name in RUNNERS if name != "emr"]:
        if why := why_absent(runner):
            absent.append(f"{runner}: {why}")
            continue
        with _cluster(runner, top / "cluster") as arguments:
            start = _seconds(top, sources["few"], runner, 1, arguments)
            one = _seconds(top, sources["one"], runner, 1, arguments)
            row = [runner, f"{start:.1f}", f"{one:.1f}", f"{options.reviews / one:,.0f}"]
            if runner != "inline":
                two = _seconds(top, sources["two"], runner, 2, arguments)
                row += [f"{two:.1f}", f"{2 * options.reviews / two:,.0f}", f"{one / two:.0%}"]
            rows.append([*row, *[""] * (7 - len(row))])
    header = ["", "start s", "1 worker s", "reviews/s", "2 workers s", "reviews/s", "efficiency"]
    print(table(header, rows))
    print("\n".join(absent))


def why_absent(runner: str) -> str:
    """Why an engine cannot be had here, empty where it can."""
    if runner == "hadoop" and not (os.environ.get("HADOOP_CONF_DIR")):
        return "HADOOP_CONF_DIR is not set"
    if runner == "spark" and importlib.util.find_spec("pyspark") is None:
        return "not installed (pip install 'reviewmill[spark]')"
    if runner == "spark" and not shutil.which("java"):
        return "no java on the PATH"
    if runner == "dask" and importlib.util.find_spec("distributed") is None:
        return "not installed (pip install 'reviewmill[dask]')"
    return ""


@contextlib.contextmanager
def _cluster(runner: str, folder: Path) -> Iterator[list[str]]:
    """What the command is told of a cluster that runs meanwhile."""
    if runner == "spark":
        with LocalSpark(folder) as address:
            yield ["--spark-master", address]
    else:
        yield []


def _seconds(
    top: Path, sources: Sequence[Path], runner: str, workers: int, arguments: Sequence[str]
) -> float:
    """The wall seconds of one run, as prepare.json has them."""
    store = top / "store"
    measure([sys.executable, "-m", "reviewmill", "prepare", *map(str, sources), "--overwrite",
             "--out", str(store), "--runner", runner, "--workers", str(workers), *arguments])
    return float(json.loads((store / "prepare.json").read_bytes())["seconds"])
