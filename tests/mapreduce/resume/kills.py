"""Runs of `prepare --resume` in a process of their own, which end at one moment of their work."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest import MonkeyPatch

import mapreduce.prepare
from mapreduce.job import ReviewsJob
from reviews.recipe import Recipe
from tests.mapreduce.corpus import bytes_of, make_reviews, run, write_reviews

CONTEXT = multiprocessing.get_context("fork")
DRIVER, TASK = "driver", "task"


class Corpus:
    """Reviews in four files, the store of an unbroken run, and the number of its shards."""

    def __init__(self, folder: Path, recipe: Recipe, reviews: int) -> None:
        rows = make_reviews(reviews, seed=5)
        self.paths = [write_reviews(folder / f"{n}.json", rows[n::4] + rows[:50]) for n in range(4)]
        self.expected = bytes_of(run(self.paths, folder / "store", recipe))
        self.shards = len([name for name in self.expected if name.startswith("shards/")])


@dataclass(frozen=True)
class EndOfTask:
    """The moment when so many tasks of a job and stage have ended.

    is_kept: whether the output of the last of them is kept by then.
    """

    job: str
    stage: str
    number: int
    is_kept: bool = True


@dataclass(frozen=True)
class Call:
    """The moment when the driver calls a function of `mapreduce.prepare`, or that has returned."""

    function: str
    has_returned: bool = False


def killed_at(
    moment: EndOfTask | Call, inputs: list[str], out: Path | str, recipe: Recipe,
    victim: str = DRIVER, number: int = signal.SIGKILL, **options: Any,
) -> int:
    """Run until that moment, when a signal is sent to the driver, or to the process of the task;
    the status of the driver, negative for a signal."""
    ended = CONTEXT.Value("i", 0)

    def go() -> None:
        driver = os.getpid()

        def strike(*_: Any) -> None:
            os.kill(driver if victim == DRIVER else os.getpid(), number)
            signal.pause()  # the end of the driver is that of all

        with MonkeyPatch.context() as patch:
            if isinstance(moment, Call):
                original = getattr(mapreduce.prepare, moment.function)

                def call(*given: Any) -> None:
                    if moment.has_returned:
                        original(*given)
                    strike()

                patch.setattr(mapreduce.prepare, moment.function, call)
            else:
                patch.setattr(ReviewsJob, "_keeping", watched(moment, ended, strike))
            try:
                run(inputs, out, recipe, resume=True, **options)
            except BaseException:
                os._exit(1)
            os._exit(0)

    process = CONTEXT.Process(target=go)
    process.start()
    process.join(60)
    assert process.exitcode is not None, "the run hangs"
    return process.exitcode


def watched(moment: EndOfTask, ended: Any, strike: Callable[[], None]) -> Callable[..., Any]:
    """A `ReviewsJob._keeping` that calls `strike` at the moment."""
    original = ReviewsJob._keeping

    def counted(function: Callable[..., Iterable[Any] | None]) -> Callable[..., Iterator[Any]]:
        def call(key: Any, given: Any) -> Iterator[Any]:
            pairs = list(function(key, given) or ())
            with ended.get_lock():
                ended.value += 1
                is_now = ended.value == moment.number
            if is_now:
                strike()
            yield from pairs

        return call

    def keeping(self: ReviewsJob, stage: str, function: Callable[..., Any]) -> Any:
        if (type(self).__name__, stage) != (moment.job, moment.stage):
            return original(self, stage, function)
        if moment.is_kept:
            return counted(original(self, stage, function))
        return original(self, stage, counted(function))

    return keeping
