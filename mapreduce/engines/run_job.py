"""The runners of `prepare`: how each is told about a job, and what a job puts out.

Every engine gets the same jobs and the same lines of input. What differs is where the files
of a run lie, how the lines become tasks, and what mrjob has to be told.
"""

import contextlib
import logging
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from mrjob.step import StepFailedException

from mapreduce.engines import dask as dask_runner
from mapreduce.engines import emr, hadoop, spark
from mapreduce.engines.options import EngineOptions, Tasks
from mapreduce.engines.task import REDUCER, Ran, by_group, by_key, run_task
from mapreduce.engines.task_notes import complaints, last_words, watching
from mapreduce.job import ReviewsJob
from mapreduce.resume.finished_tasks import REUSED, FinishedTasks, made_by
from mapreduce.run_folders import RunFolders
from reviews.corpora import InputSplit
from reviews.errors import EngineError, UserError
from reviews.storage.files import is_remote, reason
from reviews.storage.folders import join, names_below, put, read_whole

# How many files the lines of input are dealt out to.
PER_WORKER, ONE = "a file for each worker", "one file"
MOST_LINES = 16  # for one task: some four GB of reviews, or the shards of two

Session = Callable[
    [EngineOptions, RunFolders, Mapping[str, Sequence[InputSplit]]],
    contextlib.AbstractContextManager[EngineOptions]]

RunJob = Callable[
    [type[ReviewsJob], Sequence[bytes], Sequence[str], EngineOptions, RunFolders, int], Ran]


@dataclass(frozen=True)
class Engine:
    """One runner.

    arguments: what mrjob is told about one job, given the number of its tasks.
    check: raises a UserError or EngineError where the engine cannot be had.
    work_dir: where intermediate files go for a local store, None for beside it.
    session: what has to be there while the jobs run.
    run: runs a job on lines of input, where mrjob has no runner for the engine.
    slots: number of tasks that run at once, None where it is not known.
    last_words: what is known of a failed task that left no words in the work folder.
    """

    arguments: Callable[[EngineOptions, RunFolders, Tasks], list[str]]
    check: Callable[[EngineOptions], None] = lambda options: None
    work_dir: Callable[[], str | None] = lambda: None
    session: Session = lambda options, places, splits: contextlib.nullcontext(options)
    run: RunJob | None = None
    last_words: Callable[[EngineOptions, RunFolders], str] = lambda options, places: ""
    is_cluster: bool = True  # tasks may run on other machines
    slots: Callable[[EngineOptions], int | None] = lambda options: options.workers
    files: str = PER_WORKER  # how lines of input become files: tasks, for most engines
    splits_per_task: int = 1  # where a task takes long to start, it gets more to do


def _no_arguments(options: EngineOptions, places: RunFolders, tasks: Tasks) -> list[str]:
    # On one machine mrjob makes its tasks by the number of cores.
    return ["--num-cores", str(options.workers)]


ENGINES = {
    "inline": Engine(_no_arguments, is_cluster=False),
    "local": Engine(_no_arguments, is_cluster=False),
    "hadoop": Engine(hadoop.arguments, hadoop.check, hadoop.work_dir, slots=hadoop.slots,
                     files=ONE, splits_per_task=4),
    "spark": Engine(_no_arguments, spark.check, session=spark.session, run=spark.run_job),
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

    Tasks that an earlier run has finished, or the whole job, are not done again in a run that can
    go on (`places.made_of`). Raises EngineError (away from here) with the last lines of a task
    that failed.
    """
    if not places.made_of:
        return _run(job, lines, arguments, options, places, reducers)
    hashed = made_by(job.__name__, arguments, places.made_of)
    finished = FinishedTasks(places.work, hashed)
    path, is_kept = finished.job(lines), "reducer" in job.KEPT
    if is_kept and (pairs := finished.read(path)) is not None:
        return Ran(pairs, {REUSED: {"jobs": 1}})
    ran = _run(job, lines, [*arguments, "--finished", hashed], options, places, reducers)
    if is_kept:
        finished.write(path, ran.pairs)
    return ran


def _run(
    job: type[ReviewsJob], lines: Sequence[bytes], arguments: Sequence[str], options: EngineOptions,
    places: RunFolders, reducers: int,
) -> Ran:
    runner = options.runner or "inline"
    engine = ENGINES[runner]
    if engine.run:
        return engine.run(job, lines, arguments, options, places, reducers)
    inputs = list(map(str, deal(places.local / job.__name__, lines, engine, options.workers or 1)))
    reduced_here = has_reducer_here(job, len(lines), engine, reducers)
    tasks = tasks_of(job, len(lines), engine, engine.slots(options),
                     0 if reduced_here else reducers)
    given = ["-r", runner, "--no-conf", "--quiet", *engine.arguments(options, places, tasks)]
    output, sent = None, arguments
    if engine.is_cluster and is_remote(places.work):
        # mrjob would call the engine's own programs for each file.
        top = join(places.shared, job.__name__)
        inputs = [_put(path, top) for path in inputs]
        sent = [_put(argument, top) if Path(argument).is_absolute() and
                Path(argument).is_file() else argument for argument in arguments]
        # That of a killed run may still be written to.
        output = join(top, f"output-{uuid.uuid4().hex[:12]}")
        given += ["--output-dir", output, "--no-cat-output", "--no-check-input-paths"]
    instance = job([*given, *sent, *inputs])
    try:
        shown = watching(places.work, job.__name__, tasks.mappers + tasks.reducers)
        with (instance.make_runner() as running, _listening() as heard,
              shown if engine.is_cluster else contextlib.nullcontext()):
            running.run()
            chunks = running.cat_output() if output is None else _parts(output)
            groups = {name.strip(): group
                      for name, group in next(iter(running.counters()), {}).items()}
            if reduced_here:
                return _reduce(job, arguments, chunks, groups)
            return Ran(list(instance.parse_output(chunks)), groups)
    except StepFailedException as error:
        said = (last_words(places.work) or engine.last_words(options, places)
                or complaints(heard) or reason(error))
        kind = EngineError if engine.is_cluster else UserError
        raise kind(f"{job.__name__} failed on the runner {runner}: {said}") from None


def has_reducer_here(
    job: type[ReviewsJob], lines: int, engine: Engine, reducers: int
) -> bool:
    """True when the only reducer of a job runs in this process, where the engine would start a
    container for it, or Python once more."""
    return (engine.files == ONE and job.REDUCES_LITTLE and reducers == 1
            and lines <= MOST_LINES)


def _reduce(
    job: type[ReviewsJob], arguments: Sequence[str], chunks: Iterable[bytes],
    groups: dict[str, dict[str, int]],
) -> Ran:
    """Output of the reducer for that of the mappers; `groups` are the counters of these."""
    shuffled = by_key(b"".join(chunks).splitlines(keepends=True))
    reduced = run_task(job, arguments, REDUCER, list(chain.from_iterable(shuffled)))
    counters = Counter({(group, name): amount for group, named in groups.items()
                        for name, amount in named.items()})
    counters.update(reduced.counters)
    return Ran(list(job(list(arguments)).parse_output(reduced.lines)), by_group(counters))


def tasks_of(
    job: type[ReviewsJob], lines: int, engine: Engine, slots: int | None, reducers: int = 1
) -> Tasks:
    """Numbers of the tasks that share so many lines of input.

    slots: tasks that the cluster runs at once, None where that is not known. Where a task takes
    long to start, there is one for each slot, as long as it does not become too large.
    """
    if engine.files != ONE:
        return Tasks(lines, reducers)
    each = job.LINES_PER_TASK
    if slots:
        each = max(each, min(-(-lines // slots), MOST_LINES))
    return Tasks(-(-lines // each), reducers, each)


@contextlib.contextmanager
def _listening() -> Iterator[deque[str]]:
    """Last log messages of mrjob while the block runs, with those of the engine's own programs."""
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
    count = {ONE: 1, PER_WORKER: min(workers, len(lines))}[engine.files]
    folder.mkdir()
    paths = []
    for number in range(count):
        path = folder / f"{number:05d}.txt"
        path.write_bytes(b"".join(line + b"\n" for line in lines[number::count]))
        paths.append(path)
    return paths


def log_to_stderr(verbose: bool) -> None:
    """mrjob's own messages: none, unless asked for; what it raises says enough."""
    logging.basicConfig(format="%(message)s", level=logging.INFO if verbose else logging.ERROR)
    if not verbose:
        logging.getLogger("mrjob").setLevel(logging.CRITICAL)
