"""A table of distinct words, filled and read by compiled code."""

from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit

from reviews.strings import BASIS_A, BASIS_B, PRIME_B, mix, string_buffers, strings_from

Array = np.ndarray


class WordTable:
    """Distinct words with ids in order of arrival: open addressing over byte strings.

    Words are told apart by their bytes, so equal hashes do no harm.
    """

    def __init__(self, words: int = 1 << 12) -> None:
        """Room for so many words, a power of two, before the table grows."""
        self.slots = np.zeros((2 * words, 4), np.uint64)
        self.starts = np.zeros(words + 1, np.int64)
        self.arena = np.empty(16 * words, np.uint8)
        self.used = np.array([0, 0, 65 - (2 * words).bit_length()], np.int64)

    def __len__(self) -> int:
        return int(self.used[0])

    def reserve(self, words: int, size: int) -> None:
        """Make room for that many more words, of that many bytes together."""
        if len(self) + words >= len(self.starts):
            capacity = 1 << int(len(self) + words).bit_length()
            self.starts = grown(self.starts, capacity + 1)
            bigger = np.zeros((2 * capacity, 4), np.uint64)
            self.used[2] = 65 - (2 * capacity).bit_length()
            _rehash(self.slots, bigger, self.used[2])
            self.slots = bigger
        if self.used[1] + size > self.arena.size:
            self.arena = grown(self.arena, 1 << int(self.used[1] + size - 1).bit_length())

    def intern(self, words: pa.Array) -> Array:
        """Ids (n,) int32 of the words, new ones added; words: strings or bytes, no nulls."""
        data, offsets = string_buffers(words)
        self.reserve(len(words), int(offsets[-1] - offsets[0]))
        ids = np.empty(len(words), np.int32)
        chunks = np.empty(int(np.diff(offsets).max(initial=0)) // 8 + 2, np.uint64)
        _intern_many(data, offsets, *self.tables(), chunks, ids)
        return ids

    def words(self) -> pa.Array:
        """All words in order of their ids, as an Arrow string array (a copy)."""
        return strings_from(self.arena[: self.used[1]].copy(), self.starts[: len(self) + 1])

    def tables(self) -> tuple[Array, Array, Array, Array]:
        """What the kernels work on."""
        return self.slots, self.starts, self.arena, self.used


@njit(cache=True, inline="always")
def _byte(chunks: Array, i: int) -> Any:
    """Byte i of a word held in little-endian chunks of eight."""
    return np.uint8((chunks[i >> 3] >> np.uint64((i & 7) << 3)) & np.uint64(0xFF))


@njit(cache=True)
def intern(
    chunks: Array, size: int, slots: Array, starts: Array, arena: Array, used: Array
) -> Any:
    """The slot of the word in `chunks`, a new one if it was not there.

    A word of up to eight bytes is its own key, so that one look at its slot settles it; of a
    longer one the key is a hash, and the bytes are compared. Slots are rows of (key, length
    and id, hash a, hash b); used = [words, bytes of arena]; the caller has made room.
    """
    full = size >> 3
    rest = np.uint64(size & 7)
    if rest:
        chunks[full] &= (np.uint64(1) << (rest << np.uint64(3))) - np.uint64(1)
    key = chunks[0]
    if size == 0:
        key = np.uint64(0)
    if size > 8:
        for k in range(1, full + (1 if rest else 0)):
            key = mix((key ^ chunks[k]) + PRIME_B)
    # The length stands above the id plus one; an empty slot has neither.
    tag = np.uint64(size) << np.uint64(32)
    slot = np.int64((key * PRIME_B) >> np.uint64(used[2]))
    while slots[slot, 1] != 0:
        entry = slots[slot, 1]
        if slots[slot, 0] == key and entry >> np.uint64(32) == np.uint64(size):
            if size <= 8:
                return slot
            first = starts[(entry & np.uint64(0xFFFFFFFF)) - np.uint64(1)]
            same = True
            for i in range(size):
                if arena[first + i] != _byte(chunks, i):
                    same = False
                    break
            if same:
                return slot
        slot = (slot + 1) & (slots.shape[0] - 1)
    word = used[0]
    slots[slot, 0] = key
    slots[slot, 1] = tag | np.uint64(word + 1)
    a, b = BASIS_A ^ np.uint64(size), BASIS_B + np.uint64(size)
    for k in range(full + (1 if rest else 0)):
        a = mix(a ^ chunks[k])
        b = (b + chunks[k]) * PRIME_B
        b ^= b >> np.uint64(29)
    slots[slot, 2] = a
    slots[slot, 3] = mix(b)
    for i in range(size):
        arena[used[1] + i] = _byte(chunks, i)
    used[0] += 1
    used[1] += size
    starts[word + 1] = used[1]
    return slot


@njit(cache=True)
def _chunks_of(data: Array, start: int, end: int, chunks: Array) -> None:
    """The bytes data[start:end] as little-endian chunks of eight."""
    for k in range((end - start + 7) >> 3):
        chunks[k] = np.uint64(0)
    for i in range(end - start):
        chunks[i >> 3] |= np.uint64(data[start + i]) << np.uint64((i & 7) << 3)


@njit(cache=True, nogil=True)
def _intern_many(
    data: Array, offsets: Array, slots: Array, starts: Array, arena: Array, used: Array,
    chunks: Array, ids: Array,
) -> None:
    for row in range(offsets.size - 1):
        _chunks_of(data, offsets[row], offsets[row + 1], chunks)
        slot = intern(chunks, offsets[row + 1] - offsets[row], slots, starts, arena, used)
        ids[row] = np.int64(slots[slot, 1] & np.uint64(0xFFFFFFFF)) - 1


@njit(cache=True)
def _rehash(old: Array, slots: Array, shift: int) -> None:
    """Move all entries to a bigger table."""
    for row in range(old.shape[0]):
        if old[row, 1] != 0:
            slot = np.int64((old[row, 0] * PRIME_B) >> np.uint64(shift))
            while slots[slot, 1] != 0:
                slot = (slot + 1) & (slots.shape[0] - 1)
            slots[slot] = old[row]


def grown(array: Array, size: int) -> Array:
    """A copy with more rows, the new ones 0."""
    bigger = np.zeros((size, *array.shape[1:]), array.dtype)
    bigger[: len(array)] = array
    return bigger
