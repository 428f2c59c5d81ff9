"""Rows of a store, in the order of the plan and with bounded memory."""

import itertools
import platform
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache

import h5py
import numpy as np

from models.rows import Rows
from mpi_train.chosen_rows import ChosenRows
from mpi_train.configuration.groups import Locations
from mpi_train.exchange.communicator import Communicator
from mpi_train.monitoring.run_log import versions
from mpi_train.plan import Plan, cut
from reviews.errors import UserError
from reviews.store import CHUNK_ROWS, ChunkReader, Shard, Store

Array = np.ndarray
OPEN_FILES = 64


def open_store(files: Locations, communicator: Communicator) -> Store:
    """The store, the same on every rank.

    Raises UserError, agreed by all ranks, where a host cannot open it, has another one, or runs
    other versions.
    """
    problem, store = None, None
    try:
        store = Store(files.store, files.stage)
    except UserError as error:
        where = f"{platform.node()}: " if communicator.size > 1 else ""
        problem = f"{where}{error}"
    communicator.agree(problem)
    assert store is not None
    communicator.agree_on({"store": store.fingerprint, **versions()})
    return store


class SplitReader:
    """Chunks of the rows of one split. A shard's sha256 is checked before it is opened.

    Args:
        features, ids: whether to read those, too.
        more: rows that are no part of the store, as one more shard behind its own.
        chosen: rows that blocks have, without the others.
    """

    def __init__(
        self, store: Store, split: str, features: bool = False, more: Rows | None = None,
        ids: bool = False, chosen: ChosenRows | None = None,
    ) -> None:
        ids = ids or chosen is not None
        self._features, self._ids, self._chosen = features, ids, chosen
        self._names = ("tokens", "length", "label", *(["features"] if features else []),
                       *(["review_id"] if ids else []))
        self.shards, self._more = store.shards(split), more
        self.rows = [shard.rows for shard in self.shards]  # of each
        if more is not None:
            self.rows.append(len(more.labels))
        self._store, self._split = store, split
        self._checked: set[int] = set()
        # Opening a file and finding its datasets takes as long as inflating a chunk.
        self._columns = lru_cache(maxsize=OPEN_FILES)(self._open)
        self._chosen_rows = lru_cache(maxsize=1)(self._chosen_rows_of_chunks)

    def read(self, places: Sequence[tuple[int, int]]) -> Rows:
        """The rows of at least one chunk, one behind the other.

        Args:
            places: (shard, first row, a multiple of 1,024) of each chunk.

        UserError when a file is missing or damaged.
        """
        ends = np.cumsum([min(CHUNK_ROWS, self.rows[shard] - first) for shard, first in places])
        columns: list[Array] = []
        for (shard, first), begin, end in zip(places, [0, *ends], ends, strict=False):
            found = self._columns(shard)
            # Copies, and memory that is touched for the first time, cost as much as inflating.
            columns = columns or [
                np.empty((ends[-1], *column.shape[1:]), column.dtype) for column in found]
            for column, rows in zip(found, columns, strict=True):
                if isinstance(column, ChunkReader):
                    column.read(first // CHUNK_ROWS, rows[begin:end])
                else:
                    rows[begin:end] = column[first : first + CHUNK_ROWS]
        tokens, lengths, labels, *others = columns
        return Rows(tokens, lengths.astype(np.int64), labels,
                    others[0] if self._features else None, others[-1] if self._ids else None)

    def column(self, name: str) -> Iterator[Array]:
        """One column of every chunk, in the store's order."""
        at = self._names.index(name)
        for number, shard in enumerate(self.shards):
            for chunk in range(-(-shard.rows // CHUNK_ROWS)):
                yield self._columns(number)[at].read(chunk)

    def _open(self, shard: int) -> list[ChunkReader] | list[Array]:
        if self._more is not None and shard == len(self.shards):
            return [column for column in vars(self._more).values() if column is not None]
        self._check(shard, self.shards[shard])
        group = h5py.File(self.shards[shard].path, "r", locking=False)[self._split]
        return [ChunkReader(group[name]) for name in self._names]

    def _check(self, number: int, shard: Shard) -> None:
        if number in self._checked:
            return
        self._store.check_file(shard.path)
        self._checked.add(number)

    def blocks(self, rank: int, ratios: Sequence[float]) -> Iterator[tuple[int, Rows]]:
        """A rank's stretch of the chunks of the split, with their numbers.

        Args:
            ratios: (R,) of the ranks.
        """
        places = [(index, first)
                  for index, shard in enumerate(self.shards)
                  for first in range(0, shard.rows, CHUNK_ROWS)]
        chosen = self._chosen_rows() if self._chosen is not None else None
        numbers = [number for number in range(len(places))
                   if chosen is None or len(chosen[number])]
        if numbers:
            cuts = cut(np.arange(len(numbers) + 1), ratios)
            for number in numbers[cuts[rank] : cuts[rank + 1]]:
                block = self.read([places[number]])
                yield number, block if chosen is None else block.pick(chosen[number])

    def _chosen_rows_of_chunks(self) -> list[Array]:
        """Rows (n,) of each chunk that are chosen."""
        assert self._chosen is not None
        found: list[Array] = []
        first, every = 0, [*self.column("review_id")]
        self._chosen.check_all_found(np.concatenate(every))
        for ids in every:
            found.append(np.flatnonzero(self._chosen.counts(ids, first)))
            first += len(ids)
        return found


class Batch:
    """One global batch, sorted by length; rows are only copied when they are taken."""

    def __init__(self, windows: list[Rows], window: Array, row: Array) -> None:
        lengths, labels = np.empty(len(row), np.int64), np.empty(len(row), np.uint8)
        for number, rows in enumerate(windows):
            inside = window == number if len(windows) > 1 else slice(None)
            lengths[inside] = rows.lengths[row[inside]]
            labels[inside] = rows.labels[row[inside]]
        # Narrow numbers sort by their digits.
        order = np.argsort(lengths.astype(np.uint16), kind="stable")
        self.lengths = lengths[order]  # (|G|,) ascending
        self.labels = labels[order]  # (|G|,)
        self._windows, self._window, self._row = windows, window[order], row[order]

    def take(self, first: int, last: int) -> Rows:
        """The reviews at the positions first to last (exclusive) of the batch."""
        return self.pick(slice(first, last))

    def pick(self, positions: slice | Array) -> Rows:
        """The reviews at ascending positions of the batch."""
        lengths, row = self.lengths[positions], self._row[positions]
        width, features, teacher = int(lengths[-1]), None, None
        if len(self._windows) == 1:
            # Whole rows are copied faster than parts of them.
            tokens = self._windows[0].tokens.take(row, axis=0)[:, :width]
            if self._windows[0].features is not None:
                features = self._windows[0].features[row]
            if self._windows[0].teacher is not None:
                teacher = self._windows[0].teacher[row]
        else:
            if self._windows[0].features is not None:
                features = np.empty((len(row), self._windows[0].features.shape[1]), np.float32)
            if self._windows[0].teacher is not None:
                teacher = np.empty((len(row), *self._windows[0].teacher.shape[1:]), np.float32)
            tokens = np.empty((len(row), width), self._windows[0].tokens.dtype)
            for number, rows in enumerate(self._windows):
                inside = self._window[positions] == number
                tokens[inside] = rows.tokens[row[inside], :width]
                if features is not None and rows.features is not None:
                    features[inside] = rows.features[row[inside]]
                if teacher is not None and rows.teacher is not None:
                    teacher[inside] = rows.teacher[row[inside]]
        return Rows(tokens, lengths, self.labels[positions], features, teacher=teacher)

    def words(self, vocabulary_size: int, *others: int) -> Array:
        """The different ids (k,) int64 of all reviews, and some others, ascending."""
        present = np.zeros(vocabulary_size, bool)
        present[list(others)] = True
        for number, rows in enumerate(self._windows):
            present[rows.tokens[self._row[self._window == number]]] = True
        return np.flatnonzero(present)


class BatchReader:
    """Random access to the batches of a plan.

    Keeps the windows of the latest batch, and reads the one that comes after them in the
    background, so that training in the order of the plan waits for none but the first.

    Args:
        times: how often an epoch has the reviews of each class; none: once.
        features: whether to read those of the store, too.
        more: rows that are no part of the store, and are trained on behind its own.
        chosen: number of times for each review, which `times` multiplies.
        teacher: (rows of the split,) or with classes (rows, C) float32, a teacher's logits.
    """

    def __init__(
        self, store: Store, split: str, batch_size: int, seed: int, window: int,
        times: Sequence[int] = (), features: bool = False, more: Rows | None = None,
        chosen: ChosenRows | None = None, teacher: Array | None = None,
    ) -> None:
        self._split = SplitReader(store, split, features, more, ids=chosen is not None)
        self._times, self._chosen = np.array(times, np.int64), chosen
        self._teacher = teacher
        self._begins = np.cumsum([0, *self._split.rows])  # of each shard's rows in the split
        repeated = None
        if chosen is not None:
            chosen.check_all_found(np.concatenate([*self._split.column("review_id")]))
        if len(times) or chosen is not None:
            repeated = self._repeats_of_chunks()
        self.plan = Plan(self._split.rows, batch_size, seed, window, repeated)
        self._held: dict[tuple[int, int], Rows] = {}
        self._background = ThreadPoolExecutor(1)
        self._coming: dict[tuple[int, int], Future[Rows]] = {}

    def batch(self, epoch: int, update: int) -> Batch:
        """The global batch of an update."""
        order = self.plan.epoch(epoch)
        first, last = self.plan.span(update)
        needed = order.windows(first, last)
        self._held = {(epoch, number): self._window(epoch, number) for number in needed}
        after = needed.stop
        coming = (epoch, after) if after + 1 < len(order.starts) else (epoch + 1, 0)
        if coming not in self._coming:
            self._coming = {coming: self._background.submit(self._load, *coming)}
        windows, rows = [], []
        for index, number in enumerate(needed):
            start = int(order.starts[number])
            chosen = order.window_rows(number)[max(first - start, 0) : last - start]
            rows.append(chosen)
            windows.append(np.full(len(chosen), index))
        held = [self._held[epoch, number] for number in needed]
        return Batch(held, np.concatenate(windows), np.concatenate(rows))

    def _window(self, epoch: int, number: int) -> Rows:
        place = (epoch, number)
        if place in self._held:
            return self._held[place]
        return self._coming[place].result() if place in self._coming else self._load(*place)

    def _load(self, epoch: int, window: int) -> Rows:
        plan = self.plan
        chunks = plan.epoch(epoch).window_chunks(window)
        shards, firsts = plan.chunk_shard[chunks], plan.chunk_start[chunks]
        needed = plan.chunk_rows[chunks] > 0  # of a sample of the store's first rows, few are
        needed[:1] |= not needed.any()
        shards, firsts = shards[needed], firsts[needed]
        rows = self._split.read(list(zip(shards.tolist(), firsts.tolist(), strict=True)))
        sizes = np.minimum(np.array(self._split.rows)[shards] - firsts, CHUNK_ROWS)
        if self._teacher is not None:
            begins = self._begins[shards] + firsts
            rows = replace(rows, teacher=np.concatenate(
                [self._teacher[first : first + n]
                 for first, n in zip(begins.tolist(), sizes.tolist(), strict=True)]))
        if not len(self._times) and self._chosen is None:
            return rows
        ends = np.cumsum(sizes).tolist()
        again = [
            self._repeats(rows.labels[begin:end],
                          None if rows.ids is None else rows.ids[begin:end], position)
            for begin, end, position in zip(
                [0, *ends[:-1]], ends, (self._begins[shards] + firsts).tolist(), strict=True)]
        return rows.pick(np.arange(len(rows.labels)).repeat(np.concatenate(again)))

    def _repeats(self, labels: Array, ids: Array | None, first: int) -> Array:
        """Number of times (n,) that an epoch has reviews, the first of which is at a position."""
        times = self._times[labels] if len(self._times) else np.ones(len(labels), np.int64)
        if self._chosen is None:
            return times
        assert ids is not None
        chosen: Array = times * self._chosen.counts(ids, first)
        return chosen

    def _repeats_of_chunks(self) -> Array:
        """Rows (chunks,) that an epoch has of each chunk of the split."""
        found, first = [], 0
        ids = itertools.repeat(None) if self._chosen is None else self._split.column("review_id")
        for labels, own in zip(self._split.column("label"), ids, strict=False):
            found.append(self._repeats(labels, own, first).sum())
            first += len(labels)
        return np.array(found, np.int64)
