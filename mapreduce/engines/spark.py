"""Runs the jobs as tasks of one Spark application, whose Python workers stay from job to job.

The cluster is a standalone one, or any other that Spark's master address names. The data goes
from task to task through files of the work folder, as on every engine: only short lines travel
through the JVMs.
"""

import contextlib
import importlib.util
import os
import pickle
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapreduce.engines.ship_package import module_of, unpacker
from mapreduce.engines.task import (
    MAPPER,
    REDUCER,
    Ran,
    by_group,
    by_key,
    share_files,
)
from mapreduce.engines.task_notes import complaints, last_words, watching
from mapreduce.job import ReviewsJob
from reviews.corpora import InputSplit
from reviews.errors import EngineError, UserError
from reviews.runtime.spark import QUICK_JAVA, check_master, silence, spark_settings, stop

if TYPE_CHECKING:
    from mapreduce.engines.options import EngineOptions
    from mapreduce.run_folders import RunFolders

# The driver's own messages go to this file of the run, instead of the terminal.
_LOG = """rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
appender.file.type = File
appender.file.name = file
appender.file.fileName = {file}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %p %c{{1}}: %m%n%ex
"""


def find_pyspark() -> None:
    """Make pyspark importable: the installed one, else that of the spark-submit on the PATH."""
    if importlib.util.find_spec("pyspark"):
        return
    if found := shutil.which("spark-submit"):
        home = Path(found).resolve().parents[1] / "python"
        bridges = sorted(map(str, home.glob("lib/py4j-*.zip")))
        if (home / "pyspark").is_dir() and bridges:
            sys.path += [str(home), bridges[-1]]
            return
    raise UserError("no Spark: pip install 'reviewmill[spark]', or put spark-submit on the PATH")


def check(options: "EngineOptions") -> None:
    """Raise where there is no Spark, or nobody listens at its address."""
    find_pyspark()
    master = options.spark_master
    if not master:
        raise UserError("--runner spark needs --spark-master spark://HOST:PORT; "
                        "`reviewmill cluster spark start` starts a cluster on this machine")
    if not shutil.which("java"):
        raise UserError("Spark needs Java 17 or 11, and there is no `java` on the PATH")
    check_master(master)


@contextlib.contextmanager
def session(
    options: "EngineOptions", places: "RunFolders", splits: Mapping[str, Sequence[InputSplit]]
) -> Iterator["EngineOptions"]:
    """A Spark application that runs while the block does; the package travels to its nodes."""
    from py4j.protocol import Py4JError
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException

    log, settings = places.local / "spark.log", places.local / "log4j2.properties"
    settings.write_text(_LOG.format(file=log))
    conf = SparkConf().setMaster(options.spark_master or "").setAppName("reviewmill prepare")
    conf.setAll([
        ("spark.ui.enabled", "false"), ("spark.ui.showConsoleProgress", "false"),
        # Only short lines go through the JVMs: what they need is a quick start.
        ("spark.driver.defaultJavaOptions",
         f"{QUICK_JAVA} -Dlog4j2.configurationFile={settings.as_uri()}"),
        ("spark.executor.defaultJavaOptions", QUICK_JAVA),
        *([("spark.cores.max", str(options.workers))] if options.workers else []),
        *spark_settings(options.spark_conf or ()).items(),
    ])
    with _environment("PYSPARK_PYTHON", options.python_bin or sys.executable):
        try:
            context = SparkContext(conf=conf)
        except (Py4JError, PySparkException) as error:
            said = complaints([log.read_text()] if log.is_file() else []) or str(error)
            raise EngineError(f"Spark does not start: {said}") from None
        silence(context)
        try:
            context.addPyFile(str(unpacker()))
            yield options
        finally:
            stop(context)


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """A variable of the environment that Spark reads."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def run_job(
    job: type[ReviewsJob], lines: Sequence[bytes], arguments: Sequence[str],
    options: "EngineOptions", places: "RunFolders", reducers: int,
) -> Ran:
    """Run one job in the present application: a task for some lines, and so many reducers.

    Raises EngineError with the last words of a task that failed.
    """
    from py4j.protocol import Py4JError
    from pyspark import SparkContext
    from pyspark.errors import PySparkException

    given = share_files(arguments, places.work)
    counters: Counter[tuple[str, str]] = Counter()
    try:
        slots = options.workers or SparkContext.getOrCreate().defaultParallelism
        # What a task reads first is the same for all lines; and every core has a task.
        tasks = max(-(-len(lines) // job.LINES_PER_TASK), min(slots, len(lines)))
        with watching(places.work, job.__name__, tasks + reducers):
            mapped = _run(job, given, MAPPER, [
                [line + b"\n" for line in lines[number::tasks]] for number in range(tasks)],
                counters)
            groups = by_key(mapped)
            shares = [list(chain.from_iterable(groups[number::reducers]))
                      for number in range(min(reducers, len(groups)))]
            reduced = _run(job, given, REDUCER, shares, counters)
    except (Py4JError, PySparkException, ConnectionError) as error:
        said = (last_words(places.work) or complaints([str(error)])
                or "Spark's Java has ended")
        raise EngineError(f"{job.__name__} failed on the runner spark: {said}") from None
    return Ran(list(job(list(arguments)).parse_output(reduced)), by_group(counters))


def _run(
    job: type[ReviewsJob], arguments: Sequence[str], stage: str, tasks: Sequence[list[bytes]],
    counters: Counter[tuple[str, str]],
) -> list[bytes]:
    """Lines of all tasks, in any order; their counters are added."""
    from pyspark import SparkContext

    if not tasks:
        return []
    payload = pickle.dumps((module_of(job), job.__name__, list(arguments), stage))

    # Pickled by value: it can be loaded before the package is there.
    def on_node(given: Iterable[list[bytes]]) -> Iterator[Any]:
        import importlib

        importlib.import_module("reviewmill_package")
        run = importlib.import_module("mapreduce.engines.task").run_on_node
        return iter([run(payload, lines) for lines in given])

    context = SparkContext.getOrCreate()
    output: list[bytes] = []
    for lines, counted in context.parallelize(tasks, len(tasks)).mapPartitions(on_node).collect():
        output += lines
        counters.update(dict(counted))
    return output
