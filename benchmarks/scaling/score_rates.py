"""Scoring of files on two cores, by threads and by Spark, beside two runs that share nothing."""

import re
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import measure
from reviews.bundle import read_bundle
from reviews.corpora import plan_splits
from reviews.errors import UserError
from reviews.options import replace_flat
from reviews.recipe import Recipe
from reviews.storage.files import absolute, is_remote
from scoring.decision import Decision
from scoring.model import load_model
from scoring.parts import part_name
from scoring.spark.cluster import open_cluster
from scoring.spark.tasks import Job, Task

# A first job waits for all executors.
_ALL_EXECUTORS = ("spark.scheduler.minRegisteredResourcesRatio=1.0",
                  "spark.scheduler.maxRegisteredResourcesWaitingTime=120s")
_FIRST = '{"text": "A fine kettle."}\n'


class OnSpark(NamedTuple):
    """Times of an application of Spark."""

    start: float  # seconds until its executors have scored a first review each
    reviews: int
    seconds: float  # of scoring all of them


def cores_line(path: str, inputs: Sequence[str], cores: Sequence[int], copies: int = 1) -> str:
    """Two threads on two cores, beside two runs that share nothing; all read so many copies of the
    inputs."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = repeated(path, inputs, copies, Path(folder))
        apart = rate_apart(path, inputs, cores, folder)
        both = _rate(path, inputs, f"{folder}/both.parquet", cores)
    return (f"two cores: {both:,.0f} reviews/s, {both / apart:.1%} of two runs that share "
            f"nothing ({apart:,.0f}); the input {copies} x")


def repeated(path: str, inputs: Sequence[str], copies: int, folder: Path) -> list[str]:
    """The inputs of a model, or links in the folder to so many copies of their files.

    Raises UserError for copies of a file that is not on this machine.
    """
    if copies == 1:
        return [*inputs]
    if remote := [*filter(is_remote, inputs)]:
        raise UserError(f"{remote[0]} is read many times: give a file of this machine")
    recipe = read_bundle(path, weights=False).recipe
    files = [*dict.fromkeys(split.path for split in plan_splits(inputs, recipe))]
    links = [folder / f"{copy}-{number}-{Path(file).name}" for copy in range(copies)
             for number, file in enumerate(files)]
    for link, file in zip(links, files * copies, strict=True):
        link.symlink_to(Path(file).absolute())
    return [*map(str, links)]


def spark_line(path: str, inputs: Sequence[str], cores: Sequence[int], master: str) -> str:
    """A Spark of two executors of one core, its start apart, beside two runs that share nothing.

    master: its address.
    """
    with tempfile.TemporaryDirectory() as folder:
        apart = rate_apart(path, inputs, cores, folder)
        found = score_on_spark(path, inputs, master, Path(folder))
    rate = found.reviews / found.seconds
    return (f"Spark, two executors of one core: {found.reviews:,} reviews in {found.seconds:.1f} "
            f"s, {rate:,.0f} reviews/s, {rate / apart:.1%} of two runs that share nothing "
            f"({apart:,.0f}); start {found.start:.1f} s apart")


def rate_apart(path: str, inputs: Sequence[str], cores: Sequence[int], folder: str) -> float:
    """Reviews/s of runs on one core each, all at the same time, together."""
    with ThreadPoolExecutor(len(cores)) as pool:
        return sum(pool.map(
            lambda core: _rate(path, inputs, f"{folder}/apart{core}.parquet", [core]), cores))


def _rate(path: str, inputs: Sequence[str], out: str, cores: Sequence[int]) -> float:
    """Reviews/s of `score` on some cores, as it says."""
    done = measure([sys.executable, "-m", "reviewmill", "score", path, *inputs, "--out", out,
                    "--workers", str(len(cores))], cores)
    found = re.search(r"([\d,]+) reviews/s", done.output)
    assert found, done.output
    return float(found[1].replace(",", ""))


def score_on_spark(path: str, inputs: Sequence[str], master: str, folder: Path) -> OnSpark:
    """Score files by tasks of a Spark, whose executors have loaded the model before."""
    bundle, _ = load_model(path)
    first = folder / "first"
    first.mkdir()
    for name in ("0.jsonl", "1.jsonl"):
        (first / name).write_text(_FIRST)

    def job_of(some: Sequence[str], recipe: Recipe, name: str) -> tuple[Job, list[Task]]:
        (folder / name).mkdir()
        splits = plan_splits([*map(absolute, some)], recipe)
        return (Job(str(folder / name), recipe, Decision(tuple(bundle.model["classes"])), None),
                [Task(part_name(number), split) for number, split in enumerate(splits)])

    warm_up = job_of([str(first)], Recipe(), "warm-up")
    job = job_of(inputs, replace_flat(bundle.recipe, keep_keys=(), source_field=None), "all")
    began = time.perf_counter()
    with open_cluster(bundle, master, _ALL_EXECUTORS) as cluster:
        cluster.score(*warm_up)
        started = time.perf_counter()
        tally = cluster.score(*job)
        ended = time.perf_counter()
    return OnSpark(started - began, tally.scored, ended - started)
