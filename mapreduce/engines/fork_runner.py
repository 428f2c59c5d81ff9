"""mrjob's local runner, without starting Python for every task: tasks run in forks.

What a task needs is imported already, so that it starts in milliseconds instead of a second.
"""

import ctypes
import logging
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterable
from multiprocessing.connection import wait
from typing import Any

from mrjob.inline import InlineMRJobRunner
from mrjob.step import StepFailedException

from reviews.errors import UserError, disk_is_full
from reviews.runtime.progress import PROGRESS, TERMINAL_S

log = logging.getLogger(__name__)
CONTEXT = multiprocessing.get_context("fork")
_PR_SET_PDEATHSIG = 1  # a number of Linux's prctl


class ForkRunner(InlineMRJobRunner):
    """Runs the tasks of a step in as many forks of this process as it has cores."""

    def _run_multiple(
        self, funcs: Iterable[Callable[[], None]], num_processes: int | None = None
    ) -> None:
        """Run all; the first that fails ends the others.

        Raises the UserError of a task, the OSError of a full disk, else StepFailedException.
        """
        tasks = list(funcs)
        cores = num_processes or self._opts["num_cores"] or len(os.sched_getaffinity(0))
        following, problems = CONTEXT.Value("i", 0), CONTEXT.SimpleQueue()
        arguments = (tasks, following, problems, os.getpid())
        workers = [CONTEXT.Process(target=_work, args=arguments, daemon=True)
                   for _ in range(min(cores, len(tasks)))]
        for worker in workers:
            worker.start()
        running = {worker.sentinel: worker for worker in workers}
        try:
            while running:
                PROGRESS.show()
                for sentinel in wait(list(running), TERMINAL_S):
                    worker = running.pop(int(sentinel))  # type: ignore[arg-type]
                    worker.join()
                    if worker.exitcode:
                        _fail(worker.exitcode, problems)
        finally:
            for worker in running.values():
                worker.terminate()
                worker.join()


def _work(
    tasks: list[Callable[[], None]], following: Any, problems: Any, parent: int
) -> None:
    """In a fork: take tasks until there are none left."""
    _end_with(parent)
    while True:
        with following.get_lock():
            number = following.value
            following.value += 1
        if number >= len(tasks):
            return
        try:
            tasks[number]()
        except BaseException as error:
            told = isinstance(error, UserError) or disk_is_full(error)
            if not told:
                log.error(traceback.format_exc())
            problems.put(error if told else repr(error))
            raise SystemExit(1) from None


def _end_with(parent: int) -> None:
    """Have this process end with its parent, so that a killed run leaves none that goes on
    writing and holds its lock."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before that
            os.kill(os.getpid(), signal.SIGKILL)


def _fail(status: int, problems: Any) -> None:
    """Raise what a fork that ended with this status has said."""
    if problems.empty():
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        raise StepFailedException(f"a task {how}")
    said = problems.get()
    raise said if isinstance(said, Exception) else StepFailedException(said)
