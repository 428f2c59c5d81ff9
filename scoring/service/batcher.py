"""Batches of what waits, without a timer: when the model is free it takes the next rows.

Calls queue in order of arrival. A batch takes rows of the first calls up to a budget of ids, so
that it takes some milliseconds whatever the calls' sizes; rows of one call may be in several
batches. Models sort a batch by length, so that little is padded. The queue is bounded in rows
and ids.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread

import numpy as np

from scoring.encode import EncodedTexts

Array = np.ndarray
BATCH_S = 0.01  # seconds that a batch is to take at most
LOW = 0.9  # of the queue's bounds, under which calls are taken again after a refusal
_SMALLEST, _LARGEST = 512, 1 << 16  # ids of a batch


class Overloaded(Exception):
    """The queue is full."""


@dataclass
class Counts:
    """Counters of a batcher since its start."""

    texts: int = 0
    ids: int = 0
    batches: int = 0
    seconds: float = 0.0
    refused: int = 0
    left: int = 0  # texts whose client had gone


@dataclass(eq=False)
class _Call:
    rows: EncodedTexts
    answer: asyncio.Future[Array]
    ids_left: int  # ids of the rows that no batch has
    taken: int = 0  # rows that batches have
    found: list[Array] = field(default_factory=list)

    @property
    def rows_left(self) -> int:
        return len(self.rows.lengths) - self.taken

    def part(self, first: int, last: int) -> EncodedTexts:
        whole = last - first == len(self.rows.lengths)
        return self.rows if whole else self.rows.take(slice(first, last))


class Batcher:
    """Computes probabilities of encoded texts; to be used by one loop.

    In a thread of its own or, where that would only take turns with the loop on one core, in the
    loop: between two batches it does what has come meanwhile.
    """

    def __init__(
        self, predict: Callable[[EncodedTexts], Array], budget: int, most_rows: int,
        most_ids: int, counts: Counts | None = None, in_loop: bool = False,
    ) -> None:
        """predict: rows to probabilities (n, classes). budget: ids of a batch.
        most_rows, most_ids: what may wait. counts: those that go on, of another batcher.
        in_loop: there is no thread."""
        self._predict, self._budget = predict, budget
        self._most_rows, self._most_ids = most_rows, most_ids
        self._waiting: deque[_Call] = deque()
        self.waiting_rows, self._waiting_ids = 0, 0  # that no batch has taken yet
        self._refuses = False
        self._batch: list[tuple[_Call, int, int]] = []  # that is computed
        self._batches = SimpleQueue[EncodedTexts | None]()
        self._thread = None if in_loop else Thread(
            target=self._compute, name="model", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None  # while calls are computed
        self._planned = False  # a look at what waits
        self._idle: asyncio.Future[None] | None = None
        self.counts = counts or Counts()

    def start(self) -> None:
        """Begin to compute; called in the loop."""
        self._loop = asyncio.get_running_loop()
        if self._thread is not None:
            self._thread.start()

    async def finish(self) -> None:
        """Compute all that waits, and no more."""
        self._idle = asyncio.get_running_loop().create_future()
        self._begin()
        await self._idle

    async def stop(self) -> None:
        """End; calls that wait are cancelled."""
        for call in [*self._waiting, *(call for call, _, _ in self._batch)]:
            call.answer.cancel()
        started, self._loop = self._loop, None
        if started is not None and self._thread is not None:
            self._batches.put(None)
            await asyncio.to_thread(self._thread.join)

    @property
    def runs(self) -> bool:
        """True while calls are computed."""
        return self._loop is not None and (self._thread is None or self._thread.is_alive())

    @property
    def full(self) -> bool:
        """True from a refusal until a tenth of the queue is free: calls need not be looked at."""
        self._refuses = self._refuses and (self.waiting_rows > LOW * self._most_rows
                                           or self._waiting_ids > LOW * self._most_ids)
        return self._refuses

    def submit(self, rows: EncodedTexts) -> asyncio.Future[Array]:
        """Probabilities (n, classes) to come; cancelling drops what is not computed yet.

        Raises Overloaded where too much waits already; a call of any size is taken where
        nothing does.
        """
        answer: asyncio.Future[Array] = asyncio.get_running_loop().create_future()
        call = _Call(rows, answer, int(rows.lengths.sum()))
        if self._waiting and (self.waiting_rows + call.rows_left > self._most_rows
                              or self._waiting_ids + call.ids_left > self._most_ids):
            self._refuses = True
            self.counts.refused += call.rows_left
            raise Overloaded
        self._waiting.append(call)
        self.waiting_rows += call.rows_left
        self._waiting_ids += call.ids_left
        if not self._planned and not self._batch:
            # After all that has come by now, so that it goes together.
            self._planned = True
            answer.get_loop().call_soon(self._begin)
        return answer

    def _begin(self) -> None:
        """Give the thread what waits, where it has nothing."""
        self._planned = False
        if self._batch or self._loop is None:
            return
        self._batch = self._take()
        if self._batch:
            rows = _join([call.part(first, last) for call, first, last in self._batch])
            if self._thread is None:
                self._computed(rows, *self._found(rows))
            else:
                self._batches.put(rows)
        elif self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _compute(self) -> None:
        """Compute batch after batch, in the thread, until the end."""
        while (rows := self._batches.get()) is not None:
            found = self._found(rows)
            if (loop := self._loop) is not None:
                loop.call_soon_threadsafe(self._computed, rows, *found)

    def _found(self, rows: EncodedTexts) -> tuple[Array | Exception, float]:
        """Probabilities of the rows, or what went wrong, and seconds."""
        started = time.perf_counter()
        found: Array | Exception
        try:
            found = self._predict(rows)
        except Exception as error:
            found = error
        return found, time.perf_counter() - started

    def _computed(self, rows: EncodedTexts, found: Array | Exception, seconds: float) -> None:
        """Take up what the thread has found, and give it the next batch."""
        batch, self._batch = self._batch, []
        if self._thread is not None:
            self._begin()
        elif not self._planned and self._loop is not None:
            self._planned = True
            # The loop's next round writes the answers, and sends them at its end: they are not to
            # wait for the next batch.
            self._loop.call_soon(self._loop.call_soon, self._begin)
        if isinstance(found, Exception):  # these calls get it, and no other
            for call, _, _ in batch:
                if not call.answer.done():
                    call.answer.set_exception(found)
            return
        self.counts.seconds += seconds
        self.counts.batches += 1
        self.counts.texts += len(rows.lengths)
        self.counts.ids += int(rows.lengths.sum())
        self._hand_out(batch, found)

    def _take(self) -> list[tuple[_Call, int, int]]:
        """The next rows of the first calls: (call, first, last), up to the budget."""
        batch: list[tuple[_Call, int, int]] = []
        ids = 0
        while self._waiting:
            call = self._waiting[0]
            if call.answer.done():
                self.counts.left += call.rows_left
                self._drop(call)
                continue
            first = call.taken
            last, taken = _fitting(call, ids, self._budget)
            if last > first or not call.rows_left:
                batch.append((call, first, last))
                self.waiting_rows -= last - first
                self._waiting_ids -= taken
                ids, call.taken, call.ids_left = ids + taken, last, call.ids_left - taken
            if call.rows_left:
                break
            self._waiting.popleft()
        return batch

    def _drop(self, call: _Call) -> None:
        self._waiting.remove(call)
        self.waiting_rows -= call.rows_left
        self._waiting_ids -= call.ids_left

    def _hand_out(self, batch: list[tuple[_Call, int, int]], found: Array) -> None:
        begin = 0
        for call, first, last in batch:
            call.found.append(found[begin : begin + last - first])
            begin += last - first
            if last == len(call.rows.lengths) and not call.answer.done():
                call.answer.set_result(
                    call.found[0] if len(call.found) == 1 else np.concatenate(call.found))


def _fitting(call: _Call, ids: int, budget: int) -> tuple[int, int]:
    """The end of the call's rows that fit beside `ids`, and their ids; one row always fits an
    empty batch."""
    if call.ids_left <= budget - ids:
        return len(call.rows.lengths), call.ids_left
    ends = np.cumsum(call.rows.lengths[call.taken :])
    fit = int(np.searchsorted(ends, budget - ids, "right"))
    if not ids:
        fit = max(1, fit)
    fit = min(fit, len(ends))
    return call.taken + fit, int(ends[fit - 1]) if fit else 0


def _join(parts: list[EncodedTexts]) -> EncodedTexts:
    """The rows of all, one below the other."""
    if len(parts) == 1:
        return parts[0]
    columns = zip(*((p.tokens, p.lengths, p.n_words, p.n_cut) for p in parts), strict=True)
    return EncodedTexts(*map(np.concatenate, columns))


def find_budget(
    predict: Callable[[EncodedTexts], Array], unknown: int, length: int,
    clock: Callable[[], float] = time.thread_time,
) -> int:
    """Ids of the largest batch, a power of two, that takes BATCH_S at most; at least 512.

    By the CPU time of the thread: other programs of the machine would make batches small for ever.
    """
    budget = _SMALLEST
    while budget < _LARGEST:
        rows = max(1, 2 * budget // length)
        sizes = np.full(rows, length, np.int32)
        made = EncodedTexts(np.full((rows, length), unknown, np.uint16), sizes, sizes, sizes)
        predict(made)
        started = clock()
        predict(made)
        if clock() - started > BATCH_S:
            break
        budget *= 2
    return budget
