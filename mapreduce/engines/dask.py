"""Runs the jobs as tasks of Dask: a task for each line of input, and one for each key.

The data goes from task to task through files of the work folder, as on every engine; what
travels through Dask are the short lines that point into them. So a worker holds what one task
holds, whatever the size of the corpus.
"""

import contextlib
import logging
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from mapreduce.engines.ship_package import unpacker
from mapreduce.engines.task import MAPPER, REDUCER, Ran, by_group, by_key, run_task, share_files
from mapreduce.job import ReviewsJob
from reviews.corpora import InputSplit
from reviews.errors import EngineError, UserError
from reviews.runtime.progress import PROGRESS
from reviews.storage.folders import join, write_whole

if TYPE_CHECKING:
    from mapreduce.engines.options import EngineOptions
    from mapreduce.run_folders import RunFolders

REPORT = "dask-report.html"
# What a task needs is imported before workers are forked, so that they start in no time.
PRELOAD = ["distributed", "mapreduce.gather_reviews", "mapreduce.encode_reviews"]
CONNECT_S = 15


def check(options: "EngineOptions") -> None:
    """Raise where Dask is not installed, or the address of the scheduler is none."""
    try:
        import bokeh  # noqa: F401
        import distributed  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"{error.name} is not installed; pip install 'reviewmill[dask]'") from None
    if options.scheduler and "://" not in options.scheduler:
        raise UserError(f"--scheduler is {options.scheduler}: give tcp://HOST:PORT")


@contextlib.contextmanager
def session(
    options: "EngineOptions", places: "RunFolders", splits: Mapping[str, Sequence[InputSplit]]
) -> Iterator["EngineOptions"]:
    """A Dask to run on while the block runs; its performance report is put beside the store."""
    from distributed import performance_report

    # What Dask says of its own affairs is in the report.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        if options.scheduler:
            stack.enter_context(_connected(options.scheduler))
        else:
            stack.enter_context(_started(options.workers or len(os.sched_getaffinity(0))))
        report = places.local / REPORT
        with performance_report(filename=str(report)):
            yield options
        write_whole(join(places.store, REPORT), report.read_bytes())


@contextlib.contextmanager
def _started(workers: int) -> Iterator[None]:
    """A Dask of this machine alone, a process for each worker."""
    import dask
    from distributed import Client, LocalCluster
    from distributed.utils import get_mp_context

    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        # Dask chooses its own modules when it asks first.
        get_mp_context()
        multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOAD)
        with LocalCluster(
            n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster, Client(cluster):
            yield


@contextlib.contextmanager
def _connected(address: str) -> Iterator[None]:
    """A Dask that runs already; its workers get this version of the package."""
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise EngineError(f"no Dask scheduler answers at {address}: {error}") from None
    with client:
        if not client.scheduler_info()["workers"]:
            raise EngineError(f"the Dask scheduler at {address} has no workers")
        # It runs where it arrives, and on workers that come later.
        client.upload_file(str(unpacker()))
        yield


def run_job(
    job: type[ReviewsJob], lines: Sequence[bytes], arguments: Sequence[str],
    options: "EngineOptions", places: "RunFolders", reducers: int,
) -> Ran:
    """Run one job on the present session: a task for each line, and for each key."""
    from distributed import KilledWorker, as_completed, default_client

    client, given = default_client(), list(arguments)
    if options.scheduler:
        given = share_files(given, places.work)
    counters: Counter[tuple[str, str]] = Counter()
    try:
        mapped = client.map(partial(run_task, job, given, MAPPER),
                            [[line + b"\n"] for line in lines],
                            key=f"{job.__name__}-map", pure=False)
        output: list[bytes] = []
        for number, future in enumerate(as_completed(mapped), 1):
            _take(future, output, counters)
            PROGRESS.tell(number, 2 * len(mapped))
        groups, output = by_key(output), []
        reduced = client.map(partial(run_task, job, given, REDUCER), groups,
                             key=f"{job.__name__}-reduce", pure=False)
        for number, future in enumerate(as_completed(reduced), 1):
            _take(future, output, counters)
            PROGRESS.tell(len(mapped) + number, len(mapped) + len(reduced))
    except KilledWorker as error:
        raise EngineError(f"{job.__name__} failed on the runner dask: {error}") from None
    return Ran(list(job(list(arguments)).parse_output(output)), by_group(counters))


def _take(future: Any, output: list[bytes], counters: Counter[tuple[str, str]]) -> None:
    """Add the result of a task, which its worker forgets then."""
    lines, counted = future.result()
    output += lines
    counters.update(counted)
    future.release()
