"""Plan of a training: a pure function of the seed, the epoch and the update.

The order of an epoch comes about in four steps, each of them random access:

1. The chunks of all shards (1,024 rows each, the last of a shard may be shorter) are shuffled.
2. Windows of 64 chunks are cut from that sequence, and the rows of a window are shuffled.
3. The rows, window after window, are cut into global batches; a batch may span windows.
4. Inside a batch, rows are sorted by length, so that neighbours pad each other little.

Rows that an epoch is to see more than once stand in their window as often, side by side, before
it is shuffled.

Every rank computes the same plan from the same numbers and takes its own part of each batch.
Hashes stand in for random generators: the order does not depend on a library's version.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from reviews.hashing import GOLDEN, hash_key, mix
from reviews.store import CHUNK_ROWS

Array = np.ndarray

_CHUNKS, _ROWS = 1, 2  # what a hash is for


def shuffled(n: int, key: int) -> Array:
    """A permutation (n,) int64 that is a function of the key."""
    counters = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(GOLDEN)
    # No two hashes are equal, since mix is one to one: any way to sort gives the same order.
    return np.argsort(mix(counters + np.uint64(key)))


class Epoch:
    """The order of one epoch. Positions count its rows from 0."""

    def __init__(self, chunk_rows: Array, seed: int, epoch: int, window: int) -> None:
        self._key = hash_key(seed, epoch, _ROWS)
        self._window = window
        self.chunks = shuffled(len(chunk_rows), hash_key(seed, epoch, _CHUNKS))
        ends = np.cumsum(chunk_rows[self.chunks])
        last = np.arange(window - 1, len(ends) + window - 1, window).clip(max=len(ends) - 1)
        # Window w holds the positions starts[w] to starts[w + 1].
        self.starts = np.concatenate([[0], ends[last]])
        # Batch after batch asks for the same window, and a shuffle costs milliseconds.
        self.window_rows = lru_cache(maxsize=2)(self._window_rows)

    def windows(self, first: int, last: int) -> range:
        """The windows that hold the positions first to last (exclusive)."""
        begin = int(np.searchsorted(self.starts, first, "right")) - 1
        return range(begin, int(np.searchsorted(self.starts, last, "left")))

    def window_chunks(self, window: int) -> Array:
        """Indices of the chunks of a window, in the order in which its rows are counted."""
        return self.chunks[window * self._window : (window + 1) * self._window]

    def _window_rows(self, window: int) -> Array:
        """The shuffled rows of a window: row numbers (n,) within its chunks laid end to end."""
        n = int(self.starts[window + 1] - self.starts[window])
        return shuffled(n, hash_key(self._key, window))


class Plan:
    """Epochs and updates over the rows of some shards.

    Args:
        shard_rows: rows of each shard, in the store's order.
        batch_size: reviews of an update over all ranks; the last of an epoch may have fewer.
        seed: with the epoch's number, all that the order depends on.
        window: chunks inside which rows are shuffled.
        repeated: (chunks,) rows of each chunk, counted as often as an epoch trains on them; None:
            once each.
    """

    def __init__(
        self, shard_rows: Sequence[int], batch_size: int, seed: int = 0, window: int = 64,
        repeated: Array | None = None,
    ) -> None:
        assert batch_size > 0 and window > 0
        self.batch_size, self.seed, self.window = batch_size, seed, window
        pieces = [
            (shard, start, min(CHUNK_ROWS, rows - start))
            for shard, rows in enumerate(shard_rows)
            for start in range(0, rows, CHUNK_ROWS)
        ]
        table = np.array(pieces, np.int64).reshape(-1, 3)
        self.chunk_shard, self.chunk_start, self.chunk_rows = table.T  # (chunks,) each
        if repeated is not None:
            self.chunk_rows = repeated
        self.rows = int(self.chunk_rows.sum())
        self.updates = -(-self.rows // batch_size)
        self.epoch = lru_cache(maxsize=2)(self._epoch)

    def _epoch(self, epoch: int) -> Epoch:
        return Epoch(self.chunk_rows, self.seed, epoch, self.window)

    def span(self, update: int) -> tuple[int, int]:
        """The positions (first, last) of an update's batch within its epoch."""
        assert 0 <= update < self.updates
        first = update * self.batch_size
        return first, min(first + self.batch_size, self.rows)


def cut(prefix: Array, ratios: Sequence[float]) -> Array:
    """Row boundaries (R + 1,) int64 that come nearest to the wanted ratios of the cost.

    Args:
        prefix: (n + 1,) cost of the first i rows, strictly increasing.
        ratios: (R,) >= 0, not all 0; a rank with 0 gets no rows.
    """
    total = np.cumsum(np.asarray(ratios, np.float64))
    assert min(ratios) >= 0 and total[-1] > 0
    targets = total / total[-1] * prefix[-1]
    above = np.searchsorted(prefix, targets).clip(max=len(prefix) - 1)
    below = (above - 1).clip(min=0)
    nearest = np.where(targets - prefix[below] <= prefix[above] - targets, below, above)
    return np.concatenate([[0], nearest]).astype(np.int64)
