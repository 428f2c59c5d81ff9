"""`reviewmill bench projection`: the full corpus on larger machines, from rates measured here.

The rates are measured on one and two cores of this machine; what cannot be is an assumption,
which is printed beside the table and can be given. The model: a job's tasks take turns on the
workers, so that it lasts as many rounds as there are tasks for each worker, rounded up; nothing
overlaps with anything else.
"""

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import machine, measure, table
from benchmarks.prepare import FILES, LENGTH, ONE_THREAD, RECIPE
from cluster.costs import INFLATED, START_MINUTES
from mapreduce.count_words import CountWords
from mapreduce.encode_reviews import EncodeReviews
from mapreduce.engines.run_job import ENGINES, tasks_of
from mapreduce.gather_reviews import GatherReviews
from mapreduce.partitions.common_words import sample_words
from mapreduce.prepare import PARTITION_BYTES, SPLIT_BYTES, split_bytes
from reviews.corpora import plan_splits
from reviews.errors import UserError
from reviews.generate import generate
from reviews.options import add_options, config_from, make_parser, option

JOBS = {"gather": GatherReviews, "count": CountWords, "encode": EncodeReviews}
REVIEWS = 400_000
FEW = 100  # reviews: what their run takes is its start


@dataclass(frozen=True)
class Assumptions:
    """Assumptions: figures that are not measured."""

    reviews: int = option(142_800_000, "reviews of the corpus")
    bytes: int = option(92_450_000_000, "bytes of the corpus, inflated")
    vcpu: float = option(0.5, "a vCPU of AWS as a part of a core of this machine")
    network: float = option(100.0, "MB a second that a node reads from S3, or writes to it")
    job_start: float = option(30.0, "seconds in which an engine starts a job")


@dataclass(frozen=True)
class Rates:
    """Measured figures.

    job_us: CPU microseconds of each job for a review of so many bytes.
    spread_us: how many more in gather where a split's reviews go to as many partitions as the
        corpus has, each with a list of its rare words.
    task_s: CPU seconds in which a task of its own starts.
    shared: what a core does while the other one is busy too, as a part of what it does alone.
    stored: bytes of the store for each inflated byte; worked: those of the work folder, with as
        many partitions as the corpus has.
    """

    job_us: dict[str, float]
    spread_us: float
    review_bytes: float
    task_s: float
    shared: float
    stored: float
    worked: float


@dataclass(frozen=True)
class Machine:
    """Workers, each of a node's cores or vCPUs."""

    name: str
    workers: int
    nodes: int = 0  # of EMR; 0 for one machine, whose files are its own


MACHINES = [Machine("2 cores", 2), Machine("16 cores", 16),
            Machine("8 EMR nodes of 4 vCPUs", 32, 8), Machine("64 EMR nodes of 4 vCPUs", 256, 64)]


def project(
    rates: Rates, assumed: Assumptions, where: Machine, files: int = 1
) -> dict[str, float]:
    """The seconds that the corpus takes on a machine, by part.

    files: that the corpus is in; each is one input split or more.
    """
    speed = rates.shared * (assumed.vcpu if where.nodes else 1.0)
    engine = ENGINES["emr" if where.nodes else "local"]
    partitions = partitions_of(assumed)
    splits = max(files, rounds(assumed.bytes, split_bytes(engine)))
    lines = {"gather": splits, "count": partitions,
             "encode": partitions}
    # EMR is not asked for its slots.
    tasks = {name: tasks_of(job, lines[name], engine, None).mappers for name, job in JOBS.items()}
    # A review costs in proportion to its bytes.
    work = {name: us * 1e-6 * assumed.bytes / rates.review_bytes
            for name, us in all_us(rates).items()}
    start = rates.task_s if where.nodes else 0.0
    seconds = {
        name: rounds(tasks[name], where.workers) * (work[name] / tasks[name] + start) / speed
        for name in JOBS
    }
    seconds["network"] = 0.0
    if where.nodes:
        # The input once, all intermediate files once in and once out, the store.
        moved = assumed.bytes * (1 / INFLATED + 2 * rates.worked + rates.stored)
        seconds["network"] = moved / 1e6 / assumed.network / where.nodes
    seconds["starts"] = len(JOBS) * assumed.job_start if where.nodes else 0.0
    return seconds


def partitions_of(assumed: Assumptions) -> int:
    """The partitions, and shards, of the corpus."""
    return rounds(assumed.bytes, PARTITION_BYTES)


def all_us(rates: Rates) -> dict[str, float]:
    """CPU microseconds a review of each job, for the corpus."""
    return rates.job_us | {"gather": rates.job_us["gather"] + rates.spread_us}


def rounds(amount: int, size: int) -> int:
    """Number of rounds of `size` that make up an amount."""
    return -(-amount // size)


def main(argv: Sequence[str]) -> int:
    """Measure the rates and print them, the assumptions, and the table."""
    parser = make_parser(
        "reviewmill bench projection",
        "The full corpus on larger machines, from rates measured on two cores of this one.")
    parser.add_argument("--measured", type=int, default=REVIEWS, metavar="N",
                        help=f"generated reviews of the measurement (default: {REVIEWS:,})")
    add_options(parser, Assumptions)
    options = parser.parse_args(argv)
    assumed = config_from(options, Assumptions)
    if options.measured < 10 * FEW:
        raise UserError(f"give --measured {10 * FEW} or more")
    if min(vars(assumed).values()) <= 0:
        raise UserError("assumptions are numbers above 0")
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as folder:
        rates = measure_rates(Path(folder), options.measured, partitions_of(assumed))
    print(f"{machine()}\n\nmeasured, {options.measured:,} generated reviews:")
    jobs = ", ".join(f"{name} {us:.2f}" for name, us in rates.job_us.items())
    print(f"  CPU microseconds a review of {rates.review_bytes:.0f} bytes: {jobs}\n"
          f"  gather, where a split goes to {partitions_of(assumed):,} partitions: "
          f"{rates.spread_us:.2f} more\n"
          f"  start of a task: {rates.task_s:.2f} CPU s\n"
          f"  a core beside a busy one: {rates.shared:.2f} of one alone\n"
          f"  work folder and store: {rates.worked:.2f} and {rates.stored:.2f} of the inflated "
          "input")
    print(f"assumed:\n  a corpus of {assumed.reviews:,} reviews, {assumed.bytes:,} bytes, in files "
          f"that can be shared out\n  a vCPU: {assumed.vcpu:g} of such a core; cores of larger "
          f"machines hinder each other as two do here\n  a node's network: {assumed.network:g} "
          f"MB/s, nothing overlaps with it\n  start of a job: {assumed.job_start:g} s; an EMR "
          f"cluster, {START_MINUTES:g} minutes, comes before\n")
    print(projection_table(rates, assumed, MACHINES))
    return 0


def measure_rates(top: Path, reviews: int, partitions: int) -> Rates:
    """The rates of this machine, from runs on one core and one beside it.

    Args:
        partitions: of the corpus that is projected.
    """
    (recipe := top / "recipe.yaml").write_text(RECIPE.to_yaml())
    cores = sorted(os.sched_getaffinity(0), reverse=True)
    python = [sys.executable, "-m"]
    files = generate(top / "reviews.json.gz", reviews, files=FILES, length=LENGTH)
    few = generate(top / "few.json.gz", FEW, length=LENGTH)

    def prepare(sources: Sequence[Path], store: str = "store") -> list[str]:
        return [*python, "reviewmill", "prepare", *map(str, sources), "--recipe", str(recipe),
                "--overwrite", "--out", str(top / store), "--runner", "inline"]

    measure([*python, "mapreduce.compile_kernels"])
    found = []
    for sources in (few, files):
        usage = measure(prepare(sources), {cores[0]}, ONE_THREAD)
        found.append((usage, json.loads((top / "store" / "prepare.json").read_text())))
    (first, start), (usage, summary) = found
    # The phases are told by the clock; CPU seconds are shared out in their proportion.
    phases = {name: max(summary["phases"][name] - start["phases"][name], 1e-9) for name in JOBS}
    cpu_us = 1e6 * max(usage.cpu_s - first.cpu_s, 1e-9) / reviews
    task = measure([sys.executable, "-c", "import mapreduce.gather_reviews"], {cores[0]})
    store = bytes_below(top / "store")
    split = generate(top / "split.json.gz",
                     min(reviews, SPLIT_BYTES * reviews // summary["bytes"]), length=LENGTH)
    (lines := top / "split.txt").write_text(f"{split[0]}\n")
    common = sample_words({"corpus": plan_splits(list(map(str, files)), RECIPE)}, RECIPE)
    words = str(common.write(top / "common-words.json"))

    def map_split(partitions: int) -> tuple[float, int]:
        """CPU seconds of a task of gather, and the bytes that it writes."""
        work = top / f"mapped-{partitions}"
        usage = measure(
            [*python, "mapreduce.gather_reviews", "--mapper", "--step-num=0", "--recipe-file",
             str(recipe), "--common-words", words, "--work-dir", str(work), "--partitions",
             str(partitions), str(lines)],
            {cores[0]}, ONE_THREAD)
        return usage.cpu_s, bytes_below(work)

    few_s, few_bytes = map_split(rounds(summary["bytes"], PARTITION_BYTES))
    many_s, many_bytes = map_split(partitions)
    in_split = reviews * min(1.0, SPLIT_BYTES / summary["bytes"])
    more = (many_bytes - few_bytes) / in_split * reviews
    shared = 1.0
    if len(cores) > 1:
        half = len(files) // 2
        apart = [prepare(files[:half], "a"), prepare(files[half:], "b")]

        def cpu_s(number: int) -> float:
            return measure(apart[number], {cores[number]}, ONE_THREAD).cpu_s

        # In CPU seconds: a core that is hindered counts more of them for the same work.
        alone = cpu_s(0)
        with ThreadPoolExecutor(2) as pool:
            shared = min(1.0, 2 * alone / sum(pool.map(cpu_s, (0, 1))))
    return Rates(
        {name: cpu_us * seconds / sum(phases.values()) for name, seconds in phases.items()},
        max(0.0, 1e6 * (many_s - few_s) / in_split), summary["bytes"] / reviews, task.cpu_s,
        shared, store / summary["bytes"], (summary["work_bytes"] + more) / summary["bytes"])


def bytes_below(folder: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def projection_table(rates: Rates, assumed: Assumptions, machines: Sequence[Machine]) -> str:
    """Minutes by part for each machine; efficiency is that of as many cores, each as fast as one
    that is alone."""
    alone = sum(all_us(rates).values()) * 1e-6 * assumed.bytes / rates.review_bytes
    rows = []
    for where in machines:
        seconds = project(rates, assumed, where)
        total = sum(seconds.values())
        cores = where.workers * (assumed.vcpu if where.nodes else 1.0)
        rows.append([where.name, str(where.workers), *(f"{s / 60:.1f}" for s in seconds.values()),
                     f"{total / 60:.1f}", f"{assumed.reviews / total:,.0f}",
                     f"{alone / cores / total:.0%}"])
    header = ["minutes", "workers", *JOBS, "network", "starts", "all", "reviews/s", "efficiency"]
    return table(header, rows)
