"""Scoring on a Spark cluster: every task scores some input splits and writes their parts itself.

Code and bundle travel with the job: nodes have Python and the requirements, and see inputs and
output. A part has the number of its split, so that a task that runs twice writes the same file,
whole, under the same name, and nothing of a lost executor is lost or seen twice. Only counts go
through Spark.
"""

import io
import os
import pickle
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import models
import reviews
import scoring
from reviews.bundle import Bundle
from reviews.corpora import InputSplit
from reviews.corpora.detect import PARQUET
from reviews.corpora.fields import Reading
from reviews.corpora.read import read_stretches
from reviews.errors import UserError
from reviews.recipe import Recipe
from reviews.runtime.package_code import package_code
from reviews.storage.files import open_input
from scoring.decision import Decision
from scoring.files import FileScorer, Position, Tally
from scoring.model import Model, load_model
from scoring.parts import write_parts

CODE, BUNDLE = "reviewmill_package", "bundle.zip"


@dataclass(frozen=True)
class Job:
    """Settings that all tasks of a job share."""

    folder: str  # of the parts
    recipe: Recipe
    decision: Decision
    key_field: str | None


@dataclass(frozen=True)
class Task:
    """An input split, the number of its part, and the records of its file before it."""

    number: int
    split: InputSplit
    records: int = 0


def score_on_spark(
    bundle: Bundle, job: Job, tasks: Sequence[Task], master: str, settings: Sequence[str]
) -> Tally:
    """Write the part of every task; return what became of all records.

    master: spark://HOST:PORT. settings: K=V each, of Spark. Raises UserError for inputs that no
    task can read, and RuntimeError where Spark gives up.
    """
    with _context(master, settings) as context, tempfile.TemporaryDirectory() as folder:
        code, carried = Path(folder, f"{CODE}.py"), Path(folder, BUNDLE)
        code.write_text(package_code((reviews, models, scoring)), "utf-8")
        carried.write_bytes(_zipped(bundle))
        context.addPyFile(str(code))
        context.addFile(str(carried))
        if job.key_field is None:
            tasks = _with_records(context, job, tasks)
        tally = Tally()
        for found in _run(context, "score_tasks", job, tasks):
            tally.merge(found)
        return tally


def _with_records(context: Any, job: Job, tasks: Sequence[Task]) -> list[Task]:
    """The tasks, with the records of their files before them: counted where a file has several."""
    files = [list(group) for _, group in groupby(tasks, lambda task: task.split.path)]
    several = [task for file in files if len(file) > 1 for task in file]
    counts = dict(_run(context, "count_tasks", job, several)) if several else {}
    placed = []
    for file in files:
        before = 0
        for task in file:
            placed.append(Task(task.number, task.split, before))
            before += counts.get(task.number, 0)
    return placed


def _run(context: Any, name: str, job: Job, tasks: Sequence[Task]) -> list[Any]:
    """Results of a function of this module for all tasks, in any order."""
    payload = pickle.dumps(job)

    # Pickled by value: it can be loaded before the package is there.
    def on_node(given: Iterable[bytes]) -> Iterator[bytes]:
        import importlib

        importlib.import_module("reviewmill_package")
        function = getattr(importlib.import_module("scoring.spark_job"), name)
        return iter([function(payload, list(given))])

    items = [pickle.dumps(task) for task in tasks]
    answers = context.parallelize(items, max(1, len(items))).mapPartitions(on_node).collect()
    results = []
    for answer in map(pickle.loads, answers):
        if isinstance(answer, str):
            raise UserError(answer)
        results += answer
    return results


def score_tasks(payload: bytes, tasks: Sequence[bytes]) -> bytes:
    """On a node: write the parts of the tasks; the tallies, or a user's mistake, pickled."""
    job: Job = pickle.loads(payload)
    tallies = []
    try:
        bundle, model = _model()
        for data in tasks:
            task: Task = pickle.loads(data)
            scorer = FileScorer(bundle, model, job.recipe, job.decision, job.key_field, 1)
            scored = scorer.score([task.split], Position(records=task.records))
            write_parts(job.folder, scored, scorer.schema, scorer.tally, task.number, sys.maxsize)
            tallies.append(scorer.tally)
    except UserError as error:
        return pickle.dumps(str(error))
    return pickle.dumps(tallies)


def count_tasks(payload: bytes, tasks: Sequence[bytes]) -> bytes:
    """On a node: (number, records) of each task, pickled."""
    job: Job = pickle.loads(payload)
    try:
        return pickle.dumps([(task.number, count_records(task.split, job.recipe))
                             for task in map(pickle.loads, tasks)])
    except UserError as error:
        return pickle.dumps(str(error))


def count_records(split: InputSplit, recipe: Recipe) -> int:
    """Records of a split, good and bad ones."""
    if split.format == PARQUET:
        with open_input(split.path) as file:
            about = pq.read_metadata(file)
        last = about.num_row_groups if split.length < 0 else split.offset + split.length
        return sum(about.row_group(group).num_rows for group in range(split.offset, last))
    stretches = read_stretches(split, recipe, reading=Reading(labels=False))
    return sum(len(stretch.starts) + bool(stretch.cut) for stretch in stretches)


@cache
def _model() -> tuple[Bundle, Model]:
    """The bundle that travelled with the job: read once by each Python worker."""
    from pyspark import SparkFiles

    with tempfile.TemporaryDirectory(prefix="reviewmill-") as folder:
        with zipfile.ZipFile(SparkFiles.get(BUNDLE)) as archive:
            archive.extractall(folder)
        return load_model(folder)


def _zipped(bundle: Bundle) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("manifest.json", *bundle.files):
            archive.write(bundle.path / name, name)
    return buffer.getvalue()


@contextmanager
def _context(master: str, settings: Sequence[str]) -> Iterator[Any]:
    """Spark's context, stopped at the end."""
    try:
        from pyspark import SparkConf, SparkContext
    except ImportError:
        raise UserError("no Spark: pip install 'reviewmill[spark]'") from None
    conf = SparkConf().setMaster(master).setAppName("reviewmill score")
    conf.setAll([("spark.ui.enabled", "false"), ("spark.ui.showConsoleProgress", "false")])
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.startswith("spark."):
            raise UserError(f"--spark-conf {setting}: give spark.KEY=VALUE")
        conf.set(key, value)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    context = SparkContext(conf=conf)
    try:
        context.setLogLevel("ERROR")
        yield context
    finally:
        context.stop()
