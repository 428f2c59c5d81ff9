"""A table of distinct words, filled and read by compiled code."""

from typing import Any

import numpy as np
import pyarrow as pa

from reviews.compiled.functions import compiled, inlined, kernel
from reviews.text.bits import load64
from reviews.text.strings import PRIME_A, PRIME_B, mix, string_buffers, strings_from

Array = np.ndarray
# Which bits of a word's first and second eight bytes are its own, by its size up to 16.
LOW = np.array([2 ** (8 * min(size, 8)) - 1 for size in range(17)], np.uint64)
HIGH = np.array([2 ** (8 * max(size - 8, 0)) - 1 for size in range(17)], np.uint64)


class WordTable:
    """Distinct words with ids in order of arrival: open addressing over byte strings.

    Words are told apart by their bytes, so equal hashes do no harm. A slot holds an id plus
    one, or 0; a row of `keys` has the two halves of a word's key. A word of up to 16 bytes,
    none of them 0, is its own key, filled up with zeros; the first byte of any other key is 0.
    Frequent words come early, so that their keys lie together and stay in a core's own cache.
    """

    def __init__(self, words: int = 1 << 12) -> None:
        """Room for so many words, a power of two, before the table grows."""
        self.slots = np.zeros(2 * words, np.uint32)
        self.keys = np.empty((words, 2), np.uint64)
        self.starts = np.zeros(words + 1, np.int64)
        self.arena = np.empty(16 * words, np.uint8)
        # Words, bytes of the arena, and by how much a hash is shifted to be a slot.
        self.used = np.array([0, 0, 65 - (2 * words).bit_length()], np.int64)

    def __len__(self) -> int:
        return int(self.used[0])

    def reserve(self, words: int, size: int) -> None:
        """Make room for that many more words, of that many bytes together."""
        if len(self) + words >= len(self.starts):
            capacity = 1 << int(len(self) + words).bit_length()
            self.starts = grown(self.starts, capacity + 1)
            self.keys = grown(self.keys, capacity)
            self.slots = np.zeros(2 * capacity, np.uint32)
            self.used[2] = 65 - (2 * capacity).bit_length()
            _refill(self.slots, self.keys, self.used)
        if self.used[1] + size > self.arena.size:
            self.arena = grown(self.arena, 1 << int(self.used[1] + size - 1).bit_length())

    def intern(self, words: pa.Array) -> Array:
        """Ids (n,) int32 of the words, new ones added; words: strings or bytes, no nulls."""
        data, offsets = string_buffers(words)
        self.reserve(len(words), int(offsets[-1] - offsets[0]))
        ids = np.empty(len(words), np.int32)
        _intern_many(data, offsets, *self.tables(), ids)
        return ids

    def find(self, words: pa.Array) -> Array:
        """Ids (n,) int32 of the words, -1 for those that are not there; nothing is added."""
        ids = np.empty(len(words), np.int32)
        _find_many(*string_buffers(words), *self.tables(), ids)
        return ids

    def words(self) -> pa.Array:
        """All words in order of their ids, as an Arrow string array (a copy)."""
        return strings_from(self.arena[: self.used[1]].copy(), self.starts[: len(self) + 1])

    def tables(self) -> tuple[Array, Array, Array, Array, Array]:
        """Arrays of the kernels."""
        return self.slots, self.keys, self.starts, self.arena, self.used


@inlined
def hash_key(low: Any, high: Any) -> Any:
    """A hash (uint64) of a key, whose upper bits are the better ones."""
    return (low ^ (high * PRIME_A)) * PRIME_B


@inlined
def slot_of(hashed: Any, used: Array) -> Any:
    """First slot of the search for a key of this hash."""
    return np.int64(hashed >> np.uint64(used[2]))


@inlined
def _chunk(data: Array, first: Any, size: Any, k: Any) -> Any:
    """Bytes 8 k and on of the word data[first:first + size], at most eight, as a number."""
    i = first + 8 * k
    left = min(size - 8 * k, 8)
    if i + 8 <= data.size:
        return load64(data, i) & LOW[left]
    value = np.uint64(0)
    for j in range(left):
        value |= np.uint64(data[i + j]) << np.uint64(8 * j)
    return value


@compiled()
def key_of(data: Array, first: Any, size: Any) -> Any:
    """The two halves of the key of the word data[first:first + size]."""
    low = _chunk(data, first, size, 0) if size else np.uint64(0)
    high = _chunk(data, first, size, 1) if size > 8 else np.uint64(0)
    if 0 < size <= 16 and not (_has_zero(low | ~LOW[size]) or _has_zero(high | ~HIGH[size])):
        return low, high
    for k in range(2, (size + 7) >> 3):
        chunk = _chunk(data, first, size, k)
        low, high = mix((low ^ chunk) + PRIME_B), mix(high + chunk)
    return mix(low ^ np.uint64(size)) << np.uint64(8), mix(high)


@inlined
def _has_zero(value: Any) -> Any:
    """True when one of the eight bytes of a uint64 is 0."""
    below = value - np.uint64(0x0101010101010101)
    return below & ~value & np.uint64(0x8080808080808080) != 0


@inlined
def search(
    data: Array, first: Any, size: Any, low: Any, high: Any,
    slots: Array, keys: Array, starts: Array, arena: Array, used: Array,
) -> Any:
    """The id of the word data[first:first + size] with this key, or -1; and the last slot that
    was looked at, an empty one where it is not there.

    One look at its slot settles a word that is its own key; of another one the bytes are
    compared, too.
    """
    slot = slot_of(hash_key(low, high), used)
    while slots[slot] != 0:
        word = np.int64(slots[slot]) - 1
        if keys[word, 0] == low and keys[word, 1] == high:
            same = True
            if low & np.uint64(0xFF) == 0:
                same = starts[word + 1] - starts[word] == size
                for k in range((size + 7) >> 3 if same else 0):
                    own = _chunk(arena, starts[word], size, k)
                    same &= own == _chunk(data, first, size, k)
            if same:
                return word, slot
        slot = (slot + 1) & (slots.size - 1)
    return np.int64(-1), slot


@compiled()
def intern(
    data: Array, first: Any, size: Any,
    slots: Array, keys: Array, starts: Array, arena: Array, used: Array,
) -> Any:
    """The id of the word data[first:first + size], a new one if it was not there.

    The caller has made room.
    """
    low, high = key_of(data, first, size)
    word, slot = search(data, first, size, low, high, slots, keys, starts, arena, used)
    if word >= 0:
        return word
    word = used[0]
    slots[slot] = word + 1
    keys[word, 0] = low
    keys[word, 1] = high
    for i in range(size):
        arena[used[1] + i] = data[first + i]
    used[0] += 1
    used[1] += size
    starts[word + 1] = used[1]
    return word


@kernel()
def _intern_many(
    data: Array, offsets: Array,
    slots: Array, keys: Array, starts: Array, arena: Array, used: Array, ids: Array,
) -> None:
    for row in range(offsets.size - 1):
        first = np.int64(offsets[row])
        size = np.int64(offsets[row + 1]) - first
        ids[row] = intern(data, first, size, slots, keys, starts, arena, used)


@kernel()
def _find_many(
    data: Array, offsets: Array,
    slots: Array, keys: Array, starts: Array, arena: Array, used: Array, ids: Array,
) -> None:
    for row in range(offsets.size - 1):
        first = np.int64(offsets[row])
        size = np.int64(offsets[row + 1]) - first
        low, high = key_of(data, first, size)
        ids[row], _ = search(data, first, size, low, high, slots, keys, starts, arena, used)


@kernel()
def _refill(slots: Array, keys: Array, used: Array) -> None:
    """Enter all words into empty slots."""
    for word in range(used[0]):
        slot = slot_of(hash_key(keys[word, 0], keys[word, 1]), used)
        while slots[slot] != 0:
            slot = (slot + 1) & (slots.size - 1)
        slots[slot] = word + 1


def grown(array: Array, size: int) -> Array:
    """A copy with more rows, the new ones 0."""
    bigger = np.zeros((size, *array.shape[1:]), array.dtype)
    bigger[: len(array)] = array
    return bigger
