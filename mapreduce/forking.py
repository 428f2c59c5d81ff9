"""mrjob's local runner, without starting Python for every task: tasks run in forks.

What a task needs is imported already, so that it starts in milliseconds instead of a second.
"""

import logging
import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterable
from multiprocessing.connection import wait
from typing import Any

from mrjob.inline import InlineMRJobRunner
from mrjob.step import StepFailedException

from reviews.errors import UserError

log = logging.getLogger(__name__)
CONTEXT = multiprocessing.get_context("fork")


class ForkingRunner(InlineMRJobRunner):
    """Runs the tasks of a step in as many forks of this process as it has cores."""

    def _run_multiple(
        self, funcs: Iterable[Callable[[], None]], num_processes: int | None = None
    ) -> None:
        """Run all; the first that fails ends the others.

        Raises UserError where a task did, else StepFailedException.
        """
        tasks = list(funcs)
        cores = num_processes or self._opts["num_cores"] or len(os.sched_getaffinity(0))
        following, problems = CONTEXT.Value("i", 0), CONTEXT.SimpleQueue()
        workers = [CONTEXT.Process(target=_work, args=(tasks, following, problems), daemon=True)
                   for _ in range(min(cores, len(tasks)))]
        for worker in workers:
            worker.start()
        running = {worker.sentinel: worker for worker in workers}
        try:
            while running:
                for sentinel in wait(list(running)):
                    worker = running.pop(int(sentinel))  # type: ignore[arg-type]
                    worker.join()
                    if worker.exitcode:
                        _fail(worker.exitcode, problems)
        finally:
            for worker in running.values():
                worker.terminate()
                worker.join()


def _work(tasks: list[Callable[[], None]], following: Any, problems: Any) -> None:
    """In a fork: take tasks until there are none left."""
    while True:
        with following.get_lock():
            number = following.value
            following.value += 1
        if number >= len(tasks):
            return
        try:
            tasks[number]()
        except BaseException as error:
            by_user = isinstance(error, UserError)
            if not by_user:
                log.error(traceback.format_exc())
            problems.put((by_user, str(error) if by_user else repr(error)))
            raise SystemExit(1) from None


def _fail(status: int, problems: Any) -> None:
    """Raise what a fork that ended with this status has said."""
    if problems.empty():
        raise StepFailedException(f"a task ended with status {status}")
    by_user, message = problems.get()
    raise UserError(message) if by_user else StepFailedException(message)
