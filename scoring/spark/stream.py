"""Scoring of files as they are renamed into a folder, by Structured Streaming.

    part-00000-00000.parquet   predictions of an input split: number of the batch, and in the batch
    _batches/00000.json        input splits of a batch, and at its end what became of the records
    _checkpoint                Spark's own: the files of each batch

Spark runs a batch again where it does not know that it has ended. A batch is divided into input
splits once, before its first part is written, so that it then writes the same parts under the same
names: any reader of the folder sees every review once, whatever was killed.
"""

import contextlib
import dataclasses
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from reviews.corpora import InputSplit, plan_files
from reviews.errors import EngineError, UserError
from reviews.storage.files import absolute, is_left_out, is_remote
from reviews.storage.folders import join, names_below, read_whole, write_whole
from scoring.files import Tally
from scoring.spark.cluster import Cluster, last_words, spark_errors
from scoring.spark.tasks import Job, Task

CHECKPOINT, BATCHES = "_checkpoint", "_batches"
FOLLOW, AVAILABLE_NOW = "follow", "available-now"
INTERVAL = "1 second"  # between two looks at the folder
FOR_EVER = "36500d"
_SCHEMA = "path string, modificationTime timestamp, length bigint, content binary"  # Spark's own


def check_folder(folder: str, out: str) -> None:
    """Raise UserError for a folder that cannot be followed."""
    if not is_remote(folder) and not Path(folder).is_dir():
        raise UserError(f"{folder} is no folder, and --stream follows one")
    if join(absolute(out), "").startswith(join(absolute(folder), "")):
        raise UserError(f"--out {out} lies in {folder}: predictions would be scored")


def score_stream(
    cluster: Cluster, job: Job, folder: str, out: str, mode: str, files_per_batch: int,
    report: Callable[[str], None],
) -> Tally:
    """Score the files of a folder until SIGINT or SIGTERM, or those that are there now.

    mode: FOLLOW or AVAILABLE_NOW. out: the job's folder of parts, as Spark has to say it. report:
    is given a line for each batch. Returns what became of the records of this start. Raises
    UserError for a file that cannot be read, and EngineError where Spark gives up.
    """
    from py4j.protocol import Py4JError

    batches = Batches(cluster, job, folder, report)
    query = _start(cluster, folder, out, mode, files_per_batch, batches)
    if _await_end(query):
        batches.close()
        with contextlib.suppress(Py4JError):  # Java may have been asked to end, too
            query.stop()
    elif batches.failure is not None:
        raise batches.failure
    else:
        with spark_errors():
            error = query.exception()
        if error is not None:
            raise EngineError(f"Spark gave up: {last_words(str(error))}")
    return batches.tally


def _start(
    cluster: Cluster, folder: str, out: str, mode: str, files_per_batch: int,
    batches: "Batches",
) -> Any:
    """The running query, which hands the names of new files to the batches."""
    from pyspark.sql import SparkSession

    with spark_errors():
        # A rename keeps a file's age, and Spark would pass over files that are a week older than
        # the newest one. It reads no bytes of theirs.
        files = (SparkSession(cluster.context).readStream.format("binaryFile").schema(_SCHEMA)
                 .option("recursiveFileLookup", True).option("maxFileAge", FOR_EVER)
                 .option("maxFilesPerTrigger", files_per_batch)
                 .load(_escaped(_of_spark(folder))).select("path"))
        writer = files.writeStream.foreachBatch(batches.run).option(
            "checkpointLocation", _with_host(cluster.context, join(_of_spark(out), CHECKPOINT)))
        return (writer.trigger(availableNow=True) if mode == AVAILABLE_NOW
                else writer.trigger(processingTime=INTERVAL)).start()


def _of_spark(path: str) -> str:
    """The path in Hadoop's words, in which one without a scheme may be in HDFS."""
    return path if is_remote(path) else f"file://{os.path.abspath(path)}"


def _with_host(context: Any, path: str) -> str:
    """The path with the host of its file system, which Spark's checkpoints need."""
    given = context._jvm.org.apache.hadoop.fs.Path(path)
    system = given.getFileSystem(context._jsc.hadoopConfiguration())
    return str(system.makeQualified(given).toString())


def _escaped(path: str) -> str:
    """The path for a reader that knows wildcards."""
    return "".join(f"\\{one}" if one in "*?[]{}\\" else one for one in path)


def _await_end(query: Any) -> bool:
    """Wait for the end of the query, or a request to end; True for the latter."""
    from py4j.protocol import Py4JError
    from pyspark.errors import StreamingQueryException

    over, asked = threading.Event(), threading.Event()

    def await_query() -> None:
        with contextlib.suppress(StreamingQueryException, Py4JError):
            query.awaitTermination()
        over.set()

    def ask(*_: object) -> None:
        asked.set()
        over.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        threading.Thread(target=await_query, daemon=True).start()
        over.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return asked.is_set()


class StreamEnded(Exception):
    """A batch that is not run."""


class Batches:
    """Batches of the stream, one at a time."""

    def __init__(
        self, cluster: Cluster, job: Job, folder: str, report: Callable[[str], None]
    ) -> None:
        self._cluster, self._job, self._report = cluster, job, report
        self._folder = absolute(folder)
        self._running, self._closed = threading.Lock(), False
        self.tally = Tally()
        self.failure: UserError | None = None

    def run(self, files: Any, number: int) -> None:
        """Score a batch. files: a data frame with the column `path`."""
        with self._running:
            if self._closed:
                self._silence()
                raise StreamEnded("the end of the stream was asked for")
            try:
                with spark_errors():
                    paths = [row.path for row in files.collect()]
                self._run(paths, number)
            except UserError as error:
                self.failure = error
                self._silence()
                raise

    def close(self) -> None:
        """Wait until the batch that is running has ended; none is run from then on."""
        with self._running:
            self._closed = True

    def _run(self, paths: Sequence[str], number: int) -> None:
        note = join(self._job.folder, f"{BATCHES}/{number:05d}.json")
        files = sorted(self._inputs(paths))
        try:
            saved = json.loads(read_whole(note))
            if not set(files) <= set(saved["files"]):
                raise UserError(f"{self._job.folder}: batch {number} had other files: its "
                                f"{CHECKPOINT} is gone, or another's")
            if "tally" in saved:
                return  # an earlier start ended it, and was killed before Spark knew
            files = self._existing(saved["files"])
        except FileNotFoundError:
            splits = plan_files(files, self._job.recipe)
            saved = {"files": files, "splits": [dataclasses.asdict(split) for split in splits]}
            write_whole(note, json.dumps(saved).encode())
        tasks = [Task(f"part-{number:05d}-{index:05d}.parquet", InputSplit(**split))
                 for index, split in enumerate(saved["splits"]) if split["path"] in files]
        tally = self._cluster.score(self._job, tasks)
        write_whole(note, json.dumps({**saved, "tally": tally.to_json()}).encode())
        self.tally.merge(tally)
        self._report(batch_text(number, len(files), tally))

    def _existing(self, files: Sequence[str]) -> list[str]:
        """Those that nobody has taken away."""
        if not is_remote(self._folder):
            return [path for path in files if os.path.exists(path)]
        found = {join(self._folder, name) for name in names_below(self._folder)}
        return [path for path in files if path in found]

    def _inputs(self, paths: Sequence[str]) -> Iterator[str]:
        """Paths of Spark's as the nodes have to say them, without hidden files."""
        for path in paths:
            local = path.removeprefix("file:")
            given = absolute(path if local == path else f"/{local.lstrip('/')}")
            if not is_left_out(given.removeprefix(join(self._folder, ""))):
                yield given

    def _silence(self) -> None:
        """Keep Java from printing its calls: what is raised says enough."""
        with contextlib.suppress(EngineError), spark_errors():
            self._cluster.context.setLogLevel("OFF")


def batch_text(number: int, files: int, tally: Tally) -> str:
    """The line about a batch that has ended."""
    bad = sum(tally.bad.values())
    return (f"batch {number}: {files} files, {tally.scored:,} predictions"
            + (f", {bad:,} bad" if bad else ""))
