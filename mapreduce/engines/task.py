"""A task of an engine that mrjob has no runner for: lines through a mapper or a reducer."""

import importlib
import io
import pickle
import tempfile
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mapreduce.job import ReviewsJob
from reviews.storage.files import is_remote
from reviews.storage.folders import fetch, join, write_whole

MAPPER, REDUCER = "mapper", "reducer"
_SHARED = "arguments"  # folder below the work folder, for files that arguments name


class Ran(NamedTuple):
    """Output of a job, in no particular order, and the counters of the engine by group."""

    pairs: list[tuple[Any, Any]]
    counters: dict[str, dict[str, int]]


class TaskOutput(NamedTuple):
    """Lines of one task, and what it counted by group and name."""

    lines: list[bytes]
    counters: Counter[tuple[str, str]]


def share_files(arguments: Sequence[str], work: str) -> list[str]:
    """The arguments, with the files among them copied to where all nodes see them."""
    shared = []
    for argument in arguments:
        if Path(argument).is_file():
            name = f"{uuid.uuid4().hex}-{Path(argument).name}"
            copy = join(join(work, _SHARED), name)
            write_whole(copy, Path(argument).read_bytes())
            argument = copy
        shared.append(argument)
    return shared


def run_task(
    job: type[ReviewsJob], arguments: Sequence[str], stage: str, lines: Sequence[bytes]
) -> TaskOutput:
    """Run lines through the mapper or the reducer; those of a reducer are sorted by key."""
    with tempfile.TemporaryDirectory(prefix="reviewmill-") as folder:
        here = []
        for number, argument in enumerate(arguments):
            if is_remote(argument) and f"/{_SHARED}/" in argument:
                fetch(argument, Path(folder, str(number)))
                argument = str(Path(folder, str(number)))
            here.append(argument)
        task, counters = job(here), Counter[tuple[str, str]]()

        def count(group: str, counter: str, amount: int = 1) -> None:
            counters[group, counter] += amount

        task.increment_counter = count
        task.sandbox(stdin=io.BytesIO(b"".join(lines)))
        if stage == MAPPER:
            task.run_mapper(0)
        else:
            task.run_reducer(0)
        return TaskOutput(task.stdout.getvalue().splitlines(keepends=True), counters)


def by_group(counters: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Counters as mrjob has them."""
    groups: dict[str, dict[str, int]] = {}
    for (group, name), amount in counters.items():
        groups.setdefault(group, {})[name] = amount
    return groups


def by_key(lines: Sequence[bytes]) -> list[list[bytes]]:
    """Lines of each key, in the order of the keys."""
    shuffled: dict[bytes, list[bytes]] = {}
    for line in lines:
        shuffled.setdefault(line.split(b"\t", 1)[0], []).append(line)
    return [shuffled[key] for key in sorted(shuffled)]


def run_on_node(payload: bytes, lines: Sequence[bytes]) -> TaskOutput:
    """Run a task on a node of a cluster; its end is noted in the work folder.

    payload: pickled (module of the job, its name, arguments, stage).
    """
    module, name, arguments, stage = pickle.loads(payload)
    job = getattr(importlib.import_module(module), name)
    return run_task(type(name, (job,), {"ON_NODE": True}), arguments, stage, lines)
