"""Work of a node: a task scores one input split, and writes its part itself.

A part has the name of its task, so that a task that runs twice writes the same file, whole, under
the same name, and nothing of a lost executor is lost or seen twice. Only counts go through Spark.
"""

import os
import pickle
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import pyarrow.parquet as pq

from reviews.bundle import Bundle
from reviews.corpora import InputSplit
from reviews.corpora.detect import PARQUET
from reviews.corpora.fields import Reading
from reviews.corpora.read import read_stretches
from reviews.errors import UserError
from reviews.recipe import Recipe
from reviews.storage.input_file import open_input
from scoring.decision import Decision
from scoring.files import FileScorer, Position
from scoring.model import Model, load_model
from scoring.parts import write_part

BUNDLE = "bundle.zip"


@dataclass(frozen=True)
class Job:
    """Settings that all tasks of a job share."""

    folder: str  # of the parts
    recipe: Recipe
    decision: Decision
    key_field: str | None


@dataclass(frozen=True)
class Task:
    """An input split, the name of its part, and the records of its file before it."""

    part: str
    split: InputSplit
    records: int = 0


def score_tasks(payload: bytes, tasks: Sequence[bytes]) -> bytes:
    """Write the parts of the tasks; the tallies, or a user's mistake, pickled."""
    job: Job = pickle.loads(payload)
    tallies = []
    try:
        bundle, model = _model()
        for data in tasks:
            task: Task = pickle.loads(data)
            scorer = FileScorer(bundle, model, job.recipe, job.decision, job.key_field, 1)
            scored = scorer.score([task.split], Position(records=task.records))
            write_part(job.folder, task.part, scored, scorer.schema, scorer.tally)
            tallies.append(scorer.tally)
    except UserError as error:
        return pickle.dumps(str(error))
    return pickle.dumps(tallies)


def count_tasks(payload: bytes, tasks: Sequence[bytes]) -> bytes:
    """(part, records) of each task, pickled."""
    job: Job = pickle.loads(payload)
    try:
        return pickle.dumps([(task.part, count_records(task.split, job.recipe))
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
    return sum(stretch.records for stretch in stretches)


@cache
def _model() -> tuple[Bundle, Model]:
    """The bundle that travelled with the job: read once by each Python worker."""
    from pyspark import SparkFiles

    with tempfile.TemporaryDirectory(prefix="reviewmill-") as folder:
        with zipfile.ZipFile(SparkFiles.get(BUNDLE)) as archive:
            archive.extractall(folder)
        loaded = load_model(folder)
    print(f"model loaded by process {os.getpid()}", file=sys.stderr, flush=True)
    return loaded
