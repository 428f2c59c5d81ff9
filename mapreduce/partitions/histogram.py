"""Histograms of 64-bit keys that can be merged in any order and cut at a wanted rank."""

import base64
from dataclasses import dataclass

import numpy as np
from isal import isal_zlib

Array = np.ndarray
BINS = 4096


@dataclass(frozen=True)
class Histogram:
    """Counts of keys in bins of width 2**shift: `bins` are ascending values of key >> shift.

    The width is the smallest power of two that needs at most BINS bins, so it depends on the
    set of keys alone, not on how it was divided or merged.
    """

    shift: int
    bins: Array  # (b,) uint64
    counts: Array  # (b,) int64

    @classmethod
    def of(cls, keys: Array) -> "Histogram":
        """The histogram of keys (n,) uint64."""
        bins, counts = np.unique(keys, return_counts=True)
        return cls(0, bins.astype(np.uint64), counts.astype(np.int64))._narrowed()

    def merge(self, other: "Histogram") -> "Histogram":
        """The histogram of both sets of keys."""
        shift = max(self.shift, other.shift)
        one, two = self._shifted(shift), other._shifted(shift)
        bins = np.concatenate([one.bins, two.bins])
        order = np.argsort(bins, kind="stable")  # which merges what is in order
        counts = np.concatenate([one.counts, two.counts])
        return Histogram(shift, *_added_up(bins[order], counts[order]))._narrowed()

    def _shifted(self, shift: int) -> "Histogram":
        if shift == self.shift or not len(self.bins):
            return Histogram(shift, self.bins, self.counts)
        return Histogram(shift, *_added_up(self.bins >> np.uint64(shift - self.shift), self.counts))

    def _narrowed(self) -> "Histogram":
        if len(self.bins) <= BINS:
            return self
        # Neighbours stay apart while a bit in which they differ is left.
        apart = self.bins[1:] ^ self.bins[:-1]
        narrow, wide = 0, 64
        while wide - narrow > 1:
            middle = (narrow + wide) // 2
            if np.count_nonzero(apart >> np.uint64(middle)) < BINS:
                wide = middle
            else:
                narrow = middle
        return self._shifted(self.shift + wide)

    @property
    def total(self) -> int:
        """Number of keys."""
        return int(self.counts.sum())

    def cut(self, rank: float) -> int:
        """The bin boundary, as a key, below which the number of keys is nearest to `rank`."""
        below = np.concatenate([[0], np.cumsum(self.counts)])
        best = int(np.argmin(np.abs(below - rank)))
        if best == 0:
            return 0
        return (int(self.bins[best - 1]) + 1) << self.shift

    def encode(self) -> str:
        """One short word of text."""
        steps = np.diff(self.bins, prepend=np.uint64(0))
        raw = np.uint64(self.shift).tobytes() + steps.tobytes() + self.counts.tobytes()
        return base64.b64encode(isal_zlib.compress(raw, 1)).decode()

    @classmethod
    def decode(cls, text: str) -> "Histogram":
        """The histogram that `encode` made the text of."""
        raw = isal_zlib.decompress(base64.b64decode(text))
        size = (len(raw) - 8) // 16
        bins = np.cumsum(np.frombuffer(raw, np.uint64, size, 8), dtype=np.uint64)
        counts = np.frombuffer(raw, np.int64, size, 8 + 8 * size)
        return cls(int(np.frombuffer(raw, np.uint64, 1)[0]), bins, counts)


def _added_up(bins: Array, counts: Array) -> tuple[Array, Array]:
    """The distinct ones of bins in ascending order, and the sums of their counts."""
    if not len(bins):
        return bins, counts
    starts = np.flatnonzero(np.append(True, bins[1:] != bins[:-1]))
    return bins[starts], np.add.reduceat(counts, starts)
