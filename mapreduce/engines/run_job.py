"""The runners of `prepare`: how each is told about a job, and what a job puts out.

Every engine gets the same jobs and the same lines of input. What differs is where the files
of a run lie, how the lines become tasks, and what mrjob has to be told.
"""

import contextlib
import logging
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mrjob.step import StepFailedException

from mapreduce.engines import dask as dask_runner
from mapreduce.engines import emr, hadoop, spark
from mapreduce.engines.options import EngineOptions
from mapreduce.job import FAILURES, ReviewsJob, ended_folder
from mapreduce.run_folders import RunFolders
from reviews.corpora import InputSplit
from reviews.errors import EngineError, UserError
from reviews.runtime.progress import PROGRESS
from reviews.storage.files import is_remote, reason
from reviews.storage.folders import join, names_below, put, read_whole

# How many files the lines of input are dealt out to.
PER_WORKER, PER_LINE, ONE = "a file for each worker", "a file for each line", "one file"
LAST_LINES = 12  # of a failed task, that are shown
WATCH_S = 2.0  # between two looks at how many tasks have ended
_COMPLAINT = re.compile(r"Error|Exception|FAILED|[Ff]ailed|No such file|not found|denied")


class Ran(NamedTuple):
    """Output of a job, in no particular order, and the counters of the engine by group."""

    pairs: list[tuple[Any, Any]]
    counters: dict[str, dict[str, int]]


Session = Callable[
    [EngineOptions, RunFolders, Mapping[str, Sequence[InputSplit]]],
    contextlib.AbstractContextManager[EngineOptions]]

RunJob = Callable[
    [type[ReviewsJob], Sequence[bytes], Sequence[str], EngineOptions, RunFolders],
    list[tuple[Any, Any]]]


@dataclass(frozen=True)
class Engine:
    """One runner.

    arguments: what mrjob is told about one job, given its number of reducers.
    check: raises a UserError or EngineError where the engine cannot be had.
    work_dir: where intermediate files go for a local store, None for beside it.
    session: what has to be there while the jobs run.
    run: runs a job on lines of input, where mrjob has no runner for the engine.
    last_words: what is known of a failed task that left no words in the work folder.
    """

    arguments: Callable[[EngineOptions, RunFolders, int], list[str]]
    check: Callable[[EngineOptions], None] = lambda options: None
    work_dir: Callable[[], str | None] = lambda: None
    session: Session = lambda options, places, splits: contextlib.nullcontext(options)
    run: RunJob | None = None
    last_words: Callable[[EngineOptions, RunFolders], str] = lambda options, places: ""
    is_cluster: bool = True  # tasks may run on other machines
    files: str = PER_WORKER  # how lines of input become files: tasks, for most engines
    splits_per_task: int = 1  # where a task takes long to start, it gets more to do


def _no_arguments(options: EngineOptions, places: RunFolders, reducers: int) -> list[str]:
    # On one machine mrjob makes its tasks by the number of cores.
    return ["--num-cores", str(options.workers)]


ENGINES = {
    "inline": Engine(_no_arguments, is_cluster=False),
    "local": Engine(_no_arguments, is_cluster=False),
    "hadoop": Engine(hadoop.arguments, hadoop.check, hadoop.work_dir, files=ONE,
                     splits_per_task=4),
    "spark": Engine(spark.arguments, spark.check, files=PER_LINE),
    "dask": Engine(_no_arguments, dask_runner.check, session=dask_runner.session,
                   run=dask_runner.run_job),
    "emr": Engine(emr.arguments, emr.check, session=emr.session, files=ONE, splits_per_task=4,
                  last_words=emr.last_words),
}


def run_job(
    job: type[ReviewsJob], lines: Sequence[bytes], arguments: Sequence[str], options: EngineOptions,
    places: RunFolders, reducers: int = 1,
) -> Ran:
    """Run one job on lines that each describe a piece of work.

    Raises EngineError (away from here) with the last lines of a task that failed.
    """
    runner = options.runner or "inline"
    engine = ENGINES[runner]
    if engine.run:
        return Ran(engine.run(job, lines, arguments, options, places), {})
    inputs = list(map(str, deal(places.local / job.__name__, lines, engine, options.workers or 1)))
    given = ["-r", runner, "--no-conf", "--quiet", *engine.arguments(options, places, reducers)]
    output = None
    if engine.is_cluster and is_remote(places.work):
        # mrjob would call the engine's own programs for each file.
        top = join(places.shared, job.__name__)
        inputs = [_put(path, top) for path in inputs]
        arguments = [_put(argument, top) if Path(argument).is_absolute() and
                     Path(argument).is_file() else argument for argument in arguments]
        output = join(top, "output")
        given += ["--output-dir", output, "--no-cat-output", "--no-check-input-paths"]
    instance = job([*given, *arguments, *inputs])
    try:
        ended = join(places.work, ended_folder(job.__name__))
        watching = _watching(ended, map_tasks(job, len(lines), engine) + reducers)
        with (instance.make_runner() as running, _listening() as heard,
              watching if engine.is_cluster else contextlib.nullcontext()):
            running.run()
            chunks = running.cat_output() if output is None else _parts(output)
            pairs = list(instance.parse_output(chunks))
            groups = next(iter(running.counters()), {})
            return Ran(pairs, {name.strip(): group for name, group in groups.items()})
    except StepFailedException as error:
        said = (last_words(places.work) or engine.last_words(options, places)
                or complaints(heard) or reason(error))
        kind = EngineError if engine.is_cluster else UserError
        raise kind(f"{job.__name__} failed on the runner {runner}: {said}") from None


def map_tasks(job: type[ReviewsJob], lines: int, engine: Engine) -> int:
    """How many tasks of a cluster share so many lines of input."""
    return -(-lines // job.LINES_PER_TASK) if engine.files == ONE else lines


@contextlib.contextmanager
def _watching(folder: str, tasks: int) -> Iterator[None]:
    """Show meanwhile how many tasks have left a file in the folder."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(WATCH_S):
            with contextlib.suppress(UserError):  # the next look may reach it
                PROGRESS.tell(len(names_below(folder)), tasks)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def _listening() -> Iterator[deque[str]]:
    """What mrjob says meanwhile, with what the engine's own programs tell it: the last of it."""
    heard: deque[str] = deque(maxlen=2000)
    logger, handler = logging.getLogger("mrjob"), logging.Handler(logging.INFO)
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    level, passed_on = logger.level, logger.propagate
    logger.addHandler(handler)
    if level == logging.CRITICAL:  # its messages are not asked for
        logger.setLevel(logging.INFO)
        logger.propagate = False
    try:
        yield heard
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = passed_on


def complaints(heard: Iterable[str]) -> str:
    """The last of these messages that are about an error."""
    lines = [line.strip() for message in heard for line in message.splitlines()]
    telling = [line for line in lines if _COMPLAINT.search(line)]
    return "\n".join(list(dict.fromkeys(telling))[-LAST_LINES:])


def _put(path: str, folder: str) -> str:
    """The address of a copy of a local file."""
    address = join(folder, Path(path).name)
    put(Path(path), address)
    return address


def _parts(output: str) -> Iterator[bytes]:
    """Output of the tasks of a job, of which each wrote one file."""
    for name in sorted(names_below(output)):
        if name.startswith("part-"):
            yield read_whole(join(output, name))


def deal(folder: Path, lines: Sequence[bytes], engine: Engine, workers: int) -> list[Path]:
    """Deal lines out to files like cards: mrjob gives each file a task of its own."""
    count = {ONE: 1, PER_LINE: len(lines), PER_WORKER: min(workers, len(lines))}[engine.files]
    folder.mkdir()
    paths = []
    for number in range(count):
        path = folder / f"{number:05d}.txt"
        path.write_bytes(b"".join(line + b"\n" for line in lines[number::count]))
        paths.append(path)
    return paths


def last_words(work: str) -> str:
    """What the task that failed last said at its end, empty where none could say anything."""
    names = names_below(join(work, FAILURES))
    if not names:
        return ""
    text = read_whole(join(join(work, FAILURES), min(names))).decode(errors="replace")
    return "\n".join(text.rstrip().splitlines()[-LAST_LINES:])


def log_to_stderr(verbose: bool) -> None:
    """mrjob's own messages: none, unless asked for; what it raises says enough."""
    logging.basicConfig(format="%(message)s", level=logging.INFO if verbose else logging.ERROR)
    if not verbose:
        logging.getLogger("mrjob").setLevel(logging.CRITICAL)
