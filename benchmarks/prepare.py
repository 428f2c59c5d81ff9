"""`reviewmill bench prepare`: raw reviews to a store on one core, beside other ways to do it."""

import argparse
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from isal import igzip

from benchmarks.measure import Usage, machine, measure, table
from benchmarks.peers.frames import PEERS
from reviews.errors import UserError
from reviews.generate import generate
from reviews.options import make_parser
from reviews.recipe import Recipe

REVIEWS, FILES = 200_000, 8
LENGTH = 0.6  # of what is generated else: 600 bytes a review, those of Amazon's corpus have 647
# The plainest rules that all sides know; three stars are negative, so that none drops rows.
RECIPE = Recipe.of(tokens="letters", html=False, vocabulary_size=30_000, length=100, keep="head",
                   negative_to=3.0)
# Whatever may start threads gets one; Arrow and numba would take a pool each.
ONE_THREAD = {name: "1" for name in (
    "OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_IO_THREADS",
    "POLARS_MAX_THREADS")}


def main(argv: Sequence[str]) -> int:
    """Run the benchmark and print its tables."""
    parser = make_parser(
        "reviewmill bench prepare",
        "Prepare on one core, beside a per-line Python version and whole-table libraries.",
    )
    parser.add_argument("input", nargs="*", metavar="FILE",
                        help="JSON lines of McAuley's fields, .gz (default: generated reviews)")
    parser.add_argument("--reviews", type=int, default=REVIEWS, metavar="N",
                        help=f"reviews generated, in {FILES} files (default: {REVIEWS:,})")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="runs; medians count")
    parser.add_argument("--no-peers", action="store_true", help="reviewmill alone")
    parser.add_argument("--partitions", type=int, metavar="N", help="compare so many partitions, "
                        "such as those of a larger corpus, with the number that the input has, "
                        "on all cores, and nothing else")
    options = parser.parse_args(argv)
    if options.repeat < 1 or options.reviews < 100:
        raise UserError("give --repeat 1 or more, and --reviews 100 or more")
    if options.partitions is not None and options.partitions < 1:
        raise UserError("give --partitions 1 or more")
    for name in options.input:
        if not name.endswith(".gz") or not Path(name).is_file():
            raise UserError(f"{name} is not a .gz file of JSON lines")
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as folder:
        top = Path(folder)
        sources = [Path(name) for name in options.input]
        if not sources:
            sources = generate(
                top / "reviews.json.gz", options.reviews, files=FILES, length=LENGTH)
        (top / "recipe.yaml").write_text(RECIPE.to_yaml())
        if options.partitions:
            print(_compare_partitions(top, sources, options.partitions, options.repeat))
        else:
            _compare(top, sources, options)
    return 0


def _compare_partitions(top: Path, sources: list[Path], partitions: int, repeat: int) -> str:
    """The table of the number of partitions that the input has, and of another one."""
    measure([sys.executable, "-m", "mapreduce.compile_kernels"])
    usages: dict[int, list[Usage]] = {0: [], partitions: []}
    summaries: dict[int, dict[str, Any]] = {}
    shards: dict[int, int] = {}
    store = top / "store"
    for _ in range(repeat):
        for number, found in usages.items():
            command = [sys.executable, "-m", "benchmarks.scaling.partitions", str(number),
                       str(top / "recipe.yaml"), str(store), *map(str, sources)]
            found.append(measure(command, environment=ONE_THREAD))
            summaries[number] = json.loads((store / "prepare.json").read_text())
            shards[number] = sum(1 for _ in (store / "shards").iterdir())
    reviews, size = summaries[0]["records"]["read"], summaries[0]["bytes"]
    rows, first = [], 0.0
    for number, found in usages.items():
        cpu_s = median(usage.cpu_s for usage in found)
        first = first or cpu_s
        rows.append([f"{shards[number]} shards", f"{median(usage.seconds for usage in found):.1f}",
                     f"{cpu_s:.1f}", f"{1e6 * cpu_s / reviews:.2f}", f"{cpu_s / first:.2f}",
                     f"{summaries[number]['work_bytes'] / size:.2f}",
                     f"{max(usage.peak_mb for usage in found):,.0f}"])
    header = ["", "seconds", "CPU s", "CPU us a review", "ratio", "work folder", "peak MB"]
    return (f"{machine()}\n{reviews:,} reviews, {size / 1e6:,.0f} MB of JSON lines in "
            f"{len(sources)} files, from raw files to a store; the work folder as a part of these "
            f"bytes; median of {repeat}\n\n{table(header, rows)}")


def _compare(top: Path, sources: list[Path], options: argparse.Namespace) -> None:
    recipe, tenth = top / "recipe.yaml", top / "tenth.json.gz"
    slow_reviews, reviews, size = take_tenth(sources, tenth)
    python = [sys.executable, "-m"]

    def ours(files: Sequence[Path], store: str = "store") -> list[str]:
        return [*python, "reviewmill", "prepare", *map(str, files), "--recipe", str(recipe),
                "--overwrite", "--out", str(top / store)]

    rows = str(top / "rows.h5")
    # Name -> its command, the reviews that it gets, the cores that it may use.
    commands: dict[str, tuple[list[str], int, int]] = {}
    absent = [name for name in PEERS if importlib.util.find_spec(name) is None]
    if not options.no_peers:
        commands["per-line Python"] = (
            [*python, "benchmarks.peers.per_line", str(tenth), rows, "--recipe", str(recipe)],
            slow_reviews, 1)
        for name in [name for name in PEERS if name not in absent]:
            commands[name] = (
                [*python, "benchmarks.peers.frames", name, str(tenth), rows,
                 "--recipe", str(recipe)],
                slow_reviews, 1)
    commands["reviewmill"] = ([*ours(sources), "--runner", "inline"], reviews, 1)
    cores = sorted(os.sched_getaffinity(0), reverse=True)
    if len(cores) > 1:
        two = ["--runner", "local", "--workers", "2"]
        commands["reviewmill, 2 cores"] = ([*ours(sources), *two], reviews, 2)
        if len(sources) > 1:
            one = join_files(sources, top / "one.json.gz")
            commands["reviewmill, 2 cores, one .gz"] = ([*ours([one]), *two], reviews, 2)
    apart = [[*ours([file], f"apart-{i}"), "--runner", "inline"]
             for i, file in enumerate(sources[:2])]
    factors: list[float] = []
    found: dict[str, list[Usage]] = {name: [] for name in commands}
    # Kernels are compiled once per installation; that is not part of any run.
    measure([*python, "mapreduce.compile_kernels"])
    for _ in range(options.repeat):
        # In turns, so that a slow minute of the machine hits all of them.
        for name, (command, _, wanted) in commands.items():
            found[name].append(measure(command, set(cores[:wanted]), ONE_THREAD))
        if len(apart) > 1 and len(cores) > 1:
            factors.append(machine_factor(apart, cores))
    print(f"{machine()}\n{reviews:,} reviews, {size / 1e6:,.0f} MB of JSON lines in "
          f"{len(sources)} files, from raw files to a store; peers get a tenth; median of "
          f"{options.repeat}\n")
    print(speeds({name: (found[name], commands[name][1]) for name in commands}))
    if factors:
        one, two = (median(usage.seconds for usage in found[name])
                    for name in ("reviewmill", "reviewmill, 2 cores"))
        print(f"\n2 cores against 1, by the clock: {one / two:.2f} x; each core with a run of its "
              f"own: {median(factors):.2f} x one")
    for name in absent:
        print(f"{name}: not installed (pip install '.[bench]')")
    summary = json.loads((top / "store" / "prepare.json").read_text())
    print(f"\nwork folder: {summary['work_bytes'] / summary['bytes']:.2f} of the inflated input\n")
    sys.stdout.flush()
    command = [*python, "benchmarks.phases", str(recipe), *map(str, sources)]
    print(measure(command, set(cores[:1]), ONE_THREAD).output.strip())


def machine_factor(commands: Sequence[Sequence[str]], cores: Sequence[int]) -> float:
    """Throughput of two cores at once, each with a command of its own that shares nothing but the
    machine, as a multiple of what the first does by itself."""
    alone = measure(commands[0], {cores[0]}, ONE_THREAD).seconds
    with ThreadPoolExecutor(2) as pool:
        at_once = pool.map(lambda command, core: measure(command, {core}, ONE_THREAD).seconds,
                           commands, cores)
        return sum(alone / seconds for seconds in at_once)


def speeds(found: dict[str, tuple[list[Usage], int]]) -> str:
    """The table of all sides: (usages, reviews) by name; the first one is the measure.

    The core's own seconds count: what else the machine does is not the program's doing.
    """
    rows, first = [], 0.0
    for name, (usages, reviews) in found.items():
        cpu_s = median(usage.cpu_s for usage in usages)
        seconds = median(usage.seconds for usage in usages)
        first = first or reviews / cpu_s
        rows.append([name, f"{reviews:,}", f"{seconds:.1f}", f"{cpu_s:.1f}",
                     f"{reviews / seconds:,.0f}", f"{reviews / cpu_s:,.0f}",
                     f"{reviews / cpu_s / first:.2f}",
                     f"{max(usage.peak_mb for usage in usages):,.0f}"])
    header = ["", "reviews", "seconds", "CPU s", "reviews/s", "reviews/CPU s", "ratio", "peak MB"]
    return table(header, rows)


def join_files(sources: Sequence[Path], target: Path) -> Path:
    """Write the lines of all files into one gzip member."""
    with igzip.open(target, "wb") as file:
        for source in sources:
            with igzip.open(source, "rb") as lines:
                shutil.copyfileobj(lines, file, 1 << 20)
    return target


def take_tenth(sources: Sequence[Path], target: Path) -> tuple[int, int, int]:
    """Write every tenth line to one file; returns its lines, all lines, and all their bytes."""
    taken = lines = size = 0
    with igzip.open(target, "wb") as file:
        for source in sources:
            with igzip.open(source, "rb") as every:
                for line in every:
                    if lines % 10 == 0:
                        file.write(line)
                        taken += 1
                    lines += 1
                    size += len(line)
    return taken, lines, size
