"""Base class of the jobs."""

import argparse
import contextlib
import dataclasses
import sys
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
from mrjob.job import MRJob
from mrjob.protocol import JSONProtocol
from mrjob.runner import MRJobRunner

from mapreduce.engines.fork_runner import ForkRunner
from mapreduce.engines.ship_package import launcher, module_of
from mapreduce.partitions.common_words import NO_COMMON_WORDS, CommonWords
from mapreduce.resume.finished_tasks import REUSED, FinishedTasks, Pair
from reviews.corpora import InputSplit
from reviews.errors import UserError
from reviews.recipe import Recipe, load_recipe
from reviews.runtime.memory import keep_freed_memory
from reviews.runtime.progress import PROGRESS
from reviews.storage.folders import join, write_whole
from reviews.storage.retries import RETRIES
from reviews.text.subwords import tokenizer_file

FAILURES = "failures"  # folder below the work folder, with a file for each attempt that failed
ENDED = "ended"  # the same for those that did not, in a folder for each job
HERE = (None, "inline", "local")  # runners whose tasks are this process and its forks
STREAMING = ("hadoop", "emr")
UNREAD = "input that cannot be read"  # group of counters, one for each message
REQUESTS = "requests that were made again"  # the same of addresses, one for each kind
_SHOWN = 200  # characters of a line in a message
_HASH = "\x1e"
_COMMA = "\x1f"  # for mrjob a comma ends the name of a counter


class LinesOfJobs(JSONProtocol):  # type: ignore[misc]
    """Lines that a job has put out."""

    def read(self, line: bytes) -> tuple[Any, Any]:
        """The key and value of a line; UserError for another one."""
        try:
            key, value = super().read(line)
        except ValueError:
            raise UserError(f"{shown(line)}: no line of an earlier job's output") from None
        return key, value


class ReviewsJob(MRJob):
    """A job over short lines of JSON, by a recipe."""

    INPUT_PROTOCOL = LinesOfJobs
    INTERNAL_PROTOCOL = JSONProtocol
    OUTPUT_PROTOCOL = JSONProtocol
    ON_NODE = False  # whether this is a task of a cluster
    # Lines of input for a map task of Hadoop's: a task takes longer to start than to encode a
    # partition, and a line of job 1 is as much input as four of these.
    LINES_PER_TASK = 4
    # Stages whose outputs a run with --resume keeps, and with the reducer the job's.
    KEPT = ("mapper", "reducer")
    # Whether a reducer of few lines does so little that to start a container for it takes longer.
    REDUCES_LITTLE = False

    def __init__(self, args: Sequence[str] | None = None) -> None:
        super().__init__(args)
        if self.options.finished and self.options.work_dir:
            for stage in self.KEPT:
                setattr(self, stage, self._keeping(stage, getattr(self, stage)))
        keep_freed_memory()
        # Arrow's own allocator gives pages back too.
        pa.set_memory_pool(pa.system_memory_pool())

    def configure_args(self) -> None:
        # Otherwise argparse asks for the terminal's size at each of the 120 options.
        self.arg_parser.formatter_class = partial(argparse.HelpFormatter, width=100)
        super().configure_args()
        self.add_passthru_arg("--recipe", default="default", help="name of a preset")
        self.add_file_arg("--recipe-file", help="file of a recipe, in place of a preset")
        self.add_file_arg("--tokenizer-file", help="tokenizer.json, in place of the recipe's")
        self.add_file_arg("--common-words", help="words that all tasks number alike")
        self.add_passthru_arg("--work-dir", help="folder for parcels, that all tasks can see")
        self.add_passthru_arg("--finished", metavar="HASH", help="hash of what the tasks depend "
                              "on: keep what they put out, and do none again")

    def run_job(self) -> None:
        """Run the job by itself, without `reviewmill prepare`.

        Exits with status 2, after one line, where the input could not be read.
        """
        try:
            super().run_job()
        except UserError as error:
            _give_up(self, str(error))
        messages = {name for counters in self._runner.counters()
                    for name in counters.get(UNREAD, ())}
        if messages:
            _give_up(self, min(messages).replace(_COMMA, ","))

    def make_runner(self) -> MRJobRunner:
        """mrjob's own, which is asked for its counters when the job has ended."""
        self._runner: MRJobRunner = super().make_runner()
        return self._runner

    def _non_option_kwargs(self) -> dict[str, Any]:
        """mrjob's own, which takes the `#` in the path of a file for the end of it."""
        given = self._cl_args
        self._cl_args = [argument.replace("#", _HASH) for argument in given]
        try:
            kwargs: dict[str, Any] = super()._non_option_kwargs()
        finally:
            self._cl_args = given
        for place, argument in enumerate(kwargs["extra_args"]):
            if isinstance(argument, dict):
                argument["path"] = argument["path"].replace(_HASH, "#")
            else:
                kwargs["extra_args"][place] = argument.replace(_HASH, "#")
        return kwargs

    def unread(self, error: UserError) -> str:
        """The message of input that cannot be read, counted for `run_job`.

        Trying again would not help, so that the job goes on and puts the message out."""
        self.increment_counter(UNREAD, str(error).replace(",", _COMMA))
        return str(error)

    def _runner_class(self) -> type[MRJobRunner]:
        """mrjob's own for every runner but local and hadoop."""
        runner: type[MRJobRunner] = super()._runner_class()
        if runner.alias == "hadoop":
            from mapreduce.engines.hadoop_runner import HadoopRunner

            return HadoopRunner
        return ForkRunner if runner.alias == "local" else runner

    def mr_job_script(self) -> str:
        """The file that tasks run; away from here, one that carries the package."""
        if self.options.runner in HERE:
            return str(super().mr_job_script())
        return str(launcher(module_of(type(self)), type(self).__name__))

    def hadoop_input_format(self) -> str | None:
        """A map task for so many lines, where Hadoop cuts the input."""
        streaming = self.options.runner in STREAMING
        return "org.apache.hadoop.mapred.lib.NLineInputFormat" if streaming else None

    def jobconf(self) -> dict[str, Any]:
        """Settings of Hadoop about the input."""
        conf: dict[str, Any] = super().jobconf()
        if self.options.runner in STREAMING:
            lines = {"mapreduce.input.lineinputformat.linespermap": str(self.LINES_PER_TASK),
                     # Otherwise the offset of a line stands before it.
                     "stream.map.input.ignoreKey": "true"}
            return {**lines, **conf}
        return conf

    @property
    def work(self) -> str:
        """The address of the work folder."""
        if not self.options.work_dir:
            raise UserError("give --work-dir, a folder for the parcels")
        return str(self.options.work_dir)

    @property
    def tokenizer_file(self) -> Path | None:
        """The tokenizer.json of a recipe that names one."""
        given = self.options.tokenizer_file
        return Path(given) if given else tokenizer_file(self.recipe.tokens)

    @cached_property
    def common_words(self) -> CommonWords:
        """The words that all tasks of a run number alike, none unless they are given."""
        given = self.options.common_words
        return CommonWords.read(given) if given else NO_COMMON_WORDS

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe, with its lists of words spelled out."""
        return load_recipe(self.options.recipe_file or self.options.recipe).resolved()

    def map_pairs(self, pairs: Iterator[Any], step_num: int) -> Iterator[Any]:
        """Map pairs as mrjob does; note the end where the driver finds it."""
        with self._noting_end():
            yield from super().map_pairs(pairs, step_num)

    def reduce_pairs(self, pairs: Iterator[Any], step_num: int) -> Iterator[Any]:
        """Reduce pairs as mrjob does; note the end where the driver finds it."""
        with self._noting_end():
            yield from super().reduce_pairs(pairs, step_num)

    def files_of(self, pairs: Sequence[Pair]) -> Iterator[str]:
        """Files that a task has made, beside the work files that its output names."""
        return iter(())

    def _keeping(
        self, stage: str, function: Callable[[Any, Any], Iterable[Pair] | None]
    ) -> Callable[[Any, Any], Iterator[Pair]]:
        """A mapper or reducer that is run only where no earlier run has finished the same task."""
        tasks = FinishedTasks(self.work, self.options.finished)

        def run(key: Any, given: Any) -> Iterator[Pair]:
            lines = list(given) if stage == "reducer" else [given]
            path = tasks.task(stage, key, lines)
            pairs = tasks.read(path)
            if pairs is None:
                before = PROGRESS.added
                pairs = list(function(key, iter(lines) if stage == "reducer" else given) or ())
                tasks.write(path, pairs, self.files_of(pairs), PROGRESS.added - before)
            else:
                self.increment_counter(REUSED, "tasks")
            yield from pairs

        return run

    @contextlib.contextmanager
    def _noting_end(self) -> Iterator[None]:
        """Write into the work folder that an attempt ended well, so that the driver can count
        them, or else its last words: every engine hides its logs in another place."""
        try:
            yield
        except GeneratorExit:
            raise
        except BaseException as error:
            self._note(FAILURES, str(error) if isinstance(error, UserError)
                       else traceback.format_exc())
            raise
        finally:
            for kind, number in RETRIES.take().items():
                self.increment_counter(REQUESTS, kind, number)
        self._note(ended_folder(type(self).__name__), "ended\n")

    def _note(self, folder: str, text: str) -> None:
        if self.ON_NODE and self.options.work_dir:
            write_whole(join(join(self.work, folder), f"{uuid.uuid4().hex}.txt"), text.encode())


def shown(line: bytes | str) -> str:
    """A line of input as a message shows it."""
    text = line if isinstance(line, str) else line.decode(errors="replace")
    text = text.strip()
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def _give_up(job: MRJob, message: str) -> None:
    print(f"{module_of(type(job))}: {message}", file=sys.stderr)
    sys.exit(2)


def split_of(line: str) -> tuple[InputSplit, dict[str, Any]]:
    """The input split that a line describes, and what else it says; UserError for another line."""
    try:
        values = orjson.loads(line)
        names = {field.name for field in dataclasses.fields(InputSplit)}
        split = InputSplit(**{name: value for name, value in values.items() if name in names})
    except (TypeError, AttributeError, orjson.JSONDecodeError):
        raise UserError(f"{shown(line)}: neither the path of a file nor an input split; give a "
                        "list of files, one a line") from None
    return split, {name: value for name, value in values.items() if name not in names}


def ended_folder(job: str) -> str:
    """The folder below the work folder with a file for each attempt of a job that ended well."""
    return f"{ENDED}/{job}"


def requests_made_again(counters: Mapping[str, Mapping[str, Mapping[str, int]]]) -> dict[str, int]:
    """Requests of this process since the last call, and of the tasks of jobs with these counters,
    that were made again, by what had happened to them."""
    total = Counter(RETRIES.take())
    for groups in counters.values():
        total.update(groups.get(REQUESTS, {}))
    return dict(total)
