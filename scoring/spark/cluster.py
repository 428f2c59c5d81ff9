"""A Spark cluster as the driver sees it: it gets code and bundle once, and then tasks."""

import io
import os
import pickle
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import models
import reviews
import scoring
from reviews.bundle import Bundle
from reviews.errors import EngineError, UserError
from reviews.runtime.package_code import package_code
from reviews.runtime.spark import QUICK_JAVA, check_master, silence, spark_settings, stop
from scoring.files import Tally
from scoring.spark.tasks import BUNDLE, Job, Task

CODE = "reviewmill_package"


class Cluster:
    """A running Spark, whose nodes have Python and the requirements, and see inputs and output."""

    def __init__(self, context: Any) -> None:
        self.context = context

    def score(self, job: Job, tasks: Sequence[Task]) -> Tally:
        """Write the part of every task; return what became of all records.

        Raises UserError for inputs that no task can read, and EngineError where Spark gives up.
        """
        if job.key_field is None:
            tasks = self._with_records(job, tasks)
        tally = Tally()
        for found in self._run("score_tasks", job, tasks):
            tally.merge(found)
        return tally

    def _with_records(self, job: Job, tasks: Sequence[Task]) -> list[Task]:
        """The tasks, with the records of their files before them: counted where a file has
        several."""
        files = [list(group) for _, group in groupby(tasks, lambda task: task.split.path)]
        several = [task for file in files if len(file) > 1 for task in file]
        counts = dict(self._run("count_tasks", job, several))
        numbered = []
        for file in files:
            before = 0
            for task in file:
                numbered.append(replace(task, records=before))
                before += counts.get(task.part, 0)
        return numbered

    def _run(self, name: str, job: Job, tasks: Sequence[Task]) -> list[Any]:
        """Results of a function of scoring.spark.tasks for all tasks, in any order."""
        if not tasks:
            return []
        payload = pickle.dumps(job)

        # Pickled by value: it can be loaded before the package is there.
        def on_node(given: Iterable[bytes]) -> Iterator[bytes]:
            import importlib

            importlib.import_module("reviewmill_package")
            function = getattr(importlib.import_module("scoring.spark.tasks"), name)
            return iter([function(payload, list(given))])

        items = [pickle.dumps(task) for task in tasks]
        with spark_errors():
            answers = self.context.parallelize(items, len(items)).mapPartitions(on_node).collect()
        results = []
        for answer in map(pickle.loads, answers):
            if isinstance(answer, str):
                raise UserError(answer)
            results += answer
        return results


@contextmanager
def spark_errors() -> Iterator[None]:
    """Errors of Spark as an EngineError of one line."""
    from py4j.protocol import Py4JError, Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        yield
    except Py4JJavaError as error:
        said = last_words(str(error.java_exception.getMessage()))
        raise EngineError(f"Spark gave up: {said}") from None
    except PySparkException as error:
        raise EngineError(f"Spark gave up: {last_words(str(error))}") from None
    except Py4JError:
        raise EngineError("Spark gave up: its Java has ended") from None


def last_words(message: str) -> str:
    """Cause of a failure in Spark's words: the line before the first list of Java's calls."""
    lines = [line.strip() for line in message.split("\n\tat ")[0].splitlines()]
    return next((line for line in reversed(lines) if line), "it does not say why")


def is_submitted() -> bool:
    """True in a program of spark-submit, which has named master and settings."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


@contextmanager
def open_cluster(bundle: Bundle, master: str | None, given: Sequence[str]) -> Iterator[Cluster]:
    """The cluster at an address, until the block ends.

    master: spark://HOST:PORT, or local[N]; None: that of spark-submit. given: --spark-conf.
    """
    try:
        from pyspark import SparkConf, SparkContext
    except ImportError:
        raise UserError("no Spark: pip install 'reviewmill[spark]'") from None
    conf = SparkConf()
    if master is not None:
        check_master(master)
        conf.setMaster(master).setAppName("reviewmill score")
        conf.setAll([("spark.ui.enabled", "false"), ("spark.ui.showConsoleProgress", "false"),
                     ("spark.driver.defaultJavaOptions", QUICK_JAVA),
                     ("spark.executor.defaultJavaOptions", QUICK_JAVA)])
    conf.setAll(list(spark_settings(given).items()))
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    with spark_errors():
        context = SparkContext(conf=conf)
    silence(context)
    try:
        context.setLogLevel("ERROR")
        with tempfile.TemporaryDirectory() as folder:
            code, carried = Path(folder, f"{CODE}.py"), Path(folder, BUNDLE)
            code.write_text(package_code((reviews, models, scoring)), "utf-8")
            carried.write_bytes(_zipped(bundle))
            context.addPyFile(str(code))
            context.addFile(str(carried))
            yield Cluster(context)
    finally:
        stop(context)


def _zipped(bundle: Bundle) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("manifest.json", *bundle.files):
            archive.write(bundle.path / name, name)
    return buffer.getvalue()
