"""Texts to words: one compiled pass from UTF-8 bytes to word ids and identities.

The rule, which `pattern` states as a regular expression over `fold`ed text: every character
is lower-cased by itself (so a final sigma stays a plain sigma), U+2019 becomes an apostrophe,
and then

    letters       runs of a-z                                        (the 2019 rule)
    words         letters and numbers of any script (Unicode categories L and N) with the marks
                  (M) that follow them, joined by inner apostrophes
    words+marks   these, and each of ! ? . , : ; ( ) " as a token of its own

The identity of a text is its word sequence without stop words, as two independent 64-bit hashes.
"""

from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any
from unicodedata import category

import numpy as np
import pyarrow as pa
from numba import njit

from reviews.recipe import Recipe

Array = np.ndarray

MARKS = '!?.,:;()"'
SEPARATOR, WORD, APOSTROPHE, MARK, COMBINING = 0, 1, 2, 3, 4

# Above these code points there are no letters, and the only marks are variation selectors.
TABLE_SIZE = 0x40000

_PRIME_A = np.uint64(0x00000100000001B3)  # FNV-1a
_BASIS_A = np.uint64(0xCBF29CE484222325)
_PRIME_B = np.uint64(0x9E3779B97F4A7C15)  # golden ratio, as in SplitMix64
_BASIS_B = np.uint64(0x243F6A8885A308D3)


def pattern(tokens: str) -> str:
    """The regular expression whose matches in `fold(text)` are the words of a text."""
    letter = _ranges("LN")
    word = f"[{letter}][{letter}{_ranges('M')}]*"
    word += f"(?:'{word})*"
    return {
        "letters": "[a-z]+",
        "words": word,
        "words+marks": word + "|[" + "".join("\\" + mark for mark in MARKS) + "]",
    }[tokens]


@cache
def _ranges(categories: str) -> str:
    """The inside of a character class: all characters of these categories.

    Spelled out, because \\w means different things to `re` and `regex`.
    """
    codes = [c for c in range(TABLE_SIZE) if category(chr(c))[0] in categories]
    runs = [[c for _, c in run] for _, run in groupby(enumerate(codes), lambda e: e[1] - e[0])]
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs)


def fold(text: str) -> str:
    """Lower-case each character by itself; U+2019 becomes an apostrophe."""
    return "".join("'" if c == "\u2019" else c.lower()[0] for c in text)


@cache
def _character_tables(tokens: str) -> tuple[Array, Array]:
    """Class (uint8) and lower-cased code point (int32) of every code point below TABLE_SIZE."""
    kind = np.zeros(TABLE_SIZE, np.uint8)
    lower = np.arange(TABLE_SIZE, dtype=np.int32)
    for code in range(TABLE_SIZE):
        character = chr(code)
        small = character.lower()[0]
        if small != character:
            lower[code] = ord(small)
        if tokens == "letters":
            kind[code] = WORD if "a" <= small <= "z" else SEPARATOR
        else:
            kind[code] = {"L": WORD, "N": WORD, "M": COMBINING}.get(category(small)[0], SEPARATOR)
    if tokens != "letters":
        lower[0x2019] = ord("'")
        kind[[ord("'"), 0x2019]] = APOSTROPHE
    if tokens == "words+marks":
        kind[[ord(mark) for mark in MARKS]] = MARK
    return kind, lower


@njit(cache=True, inline="always")
def _mix(h: np.uint64) -> np.uint64:
    """The finalizer of SplitMix64 (Steele et al. 2014): every input bit moves every output bit."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@njit(cache=True)
def _hash_b(data: Array, start: int, end: int) -> np.uint64:
    """The second hash of a word; only asked for when a word is new."""
    h = _BASIS_B
    for i in range(start, end):
        h = (h + np.uint64(data[i]) + np.uint64(1)) * _PRIME_B
        h ^= h >> np.uint64(29)
    return _mix(h)


@njit(cache=True, inline="always")
def _intern(
    data: Array, start: int, end: int, hash_a: np.uint64,
    slots: Array, hashes: Array, starts: Array, arena: Array, used: Array,
) -> Any:
    """The id of the word data[start:end], a new one if it was not there.

    used = [words, bytes of arena]; the caller has made sure that there is room.
    """
    mask = np.uint64(slots.size - 1)
    slot = hash_a & mask
    while True:
        word = slots[slot]
        if word < 0:
            break
        if hashes[word, 0] == hash_a:
            first = starts[word]
            if starts[word + 1] - first == end - start:
                i = 0
                while i < end - start and arena[first + i] == data[start + i]:
                    i += 1
                if i == end - start:
                    return word
        slot = (slot + np.uint64(1)) & mask
    word = used[0]
    slots[slot] = word
    hashes[word, 0] = hash_a
    hashes[word, 1] = _hash_b(data, start, end)
    for i in range(end - start):
        arena[used[1] + i] = data[start + i]
    used[0] += 1
    used[1] += end - start
    starts[word + 1] = used[1]
    return int(word)


@njit(cache=True, nogil=True)
def _scan(
    data: Array, offsets: Array, row: int, kind: Array, lower: Array, stops: int,
    slots: Array, hashes: Array, starts: Array, arena: Array, used: Array,
    scratch: Array, ids: Array, ends: Array, identity: Array,
) -> Any:
    """Tokenize rows from `row` on until one might not fit; return that row.

    Every table has room for one id, word and byte a byte of input (two for lower-casing).
    """
    n = ends[row - 1] if row > 0 else 0
    while row < offsets.size - 1:
        i, last = offsets[row], offsets[row + 1]
        room = last - i + 1
        if (n + room > ids.size or used[0] + room > hashes.shape[0]
                or used[1] + 2 * room > arena.size or 2 * room > scratch.size):
            return row
        a, b = _BASIS_A, _BASIS_B
        begin = n
        size = 0
        h = _BASIS_A
        while i <= last:
            # Decode one character; the end of the text counts as a separator.
            step = 1
            code: Any = 0
            if i == last:
                what = SEPARATOR
            else:
                code = np.int64(data[i])
                if code >= 128:
                    if code < 0xE0:
                        code = (code & 0x1F) << 6 | (data[i + 1] & 0x3F)
                        step = 2
                    elif code < 0xF0:
                        code = ((code & 0x0F) << 12 | np.int64(data[i + 1] & 0x3F) << 6
                                | (data[i + 2] & 0x3F))
                        step = 3
                    else:
                        code = ((code & 0x07) << 18 | np.int64(data[i + 1] & 0x3F) << 12
                                | np.int64(data[i + 2] & 0x3F) << 6 | (data[i + 3] & 0x3F))
                        step = 4
                what = kind[code] if code < TABLE_SIZE else SEPARATOR
                if what == COMBINING:
                    # A mark belongs to the character before it.
                    what = WORD if size > 0 else SEPARATOR
            if what == APOSTROPHE:
                # It belongs to the word only between two word characters.
                what = SEPARATOR
                if size > 0 and i + step < last:
                    code2 = np.int64(data[i + step])
                    j = i + step
                    if code2 >= 128:
                        if code2 < 0xE0:
                            code2 = (code2 & 0x1F) << 6 | (data[j + 1] & 0x3F)
                        elif code2 < 0xF0:
                            code2 = ((code2 & 0x0F) << 12 | int(data[j + 1] & 0x3F) << 6
                                     | (data[j + 2] & 0x3F))
                        else:
                            code2 = ((code2 & 0x07) << 18 | int(data[j + 1] & 0x3F) << 12
                                     | int(data[j + 2] & 0x3F) << 6 | (data[j + 3] & 0x3F))
                    if code2 < TABLE_SIZE and kind[code2] == WORD:
                        what = WORD
            if what == WORD:
                small = lower[code]
                if small < 0x80:
                    scratch[size] = small
                    size += 1
                    h = (h ^ np.uint64(small)) * _PRIME_A
                else:
                    first = size
                    if small < 0x800:
                        scratch[size] = 0xC0 | small >> 6
                        size += 1
                    else:
                        if small < 0x10000:
                            scratch[size] = 0xE0 | small >> 12
                        else:
                            scratch[size] = 0xF0 | small >> 18
                            size += 1
                            scratch[size] = 0x80 | (small >> 12 & 0x3F)
                        size += 1
                        scratch[size] = 0x80 | (small >> 6 & 0x3F)
                        size += 1
                    scratch[size] = 0x80 | (small & 0x3F)
                    size += 1
                    for k in range(first, size):
                        h = (h ^ np.uint64(scratch[k])) * _PRIME_A
                i += step
                continue
            # A word ends here, a mark is a word by itself.
            while True:
                if size == 0:
                    if what != MARK:
                        break
                    what = SEPARATOR
                    scratch[0] = code
                    size = 1
                    h = (_BASIS_A ^ np.uint64(code)) * _PRIME_A
                word = _intern(scratch, 0, size, _mix(h), slots, hashes, starts, arena, used)
                if word >= stops:
                    ids[n] = word
                    n += 1
                    a = (a ^ hashes[word, 0]) * _PRIME_A
                    a ^= a >> np.uint64(32)
                    b = (b + hashes[word, 1]) * _PRIME_B
                    b ^= b >> np.uint64(31)
                size = 0
                h = _BASIS_A
            i += step
        identity[row, 0] = _mix(a ^ np.uint64(n - begin))
        identity[row, 1] = _mix(b + np.uint64(n - begin))
        ends[row] = n
        row += 1
    return row


@njit(cache=True, nogil=True)
def _intern_many(
    data: Array, offsets: Array,
    slots: Array, hashes: Array, starts: Array, arena: Array, used: Array, ids: Array,
) -> None:
    for row in range(offsets.size - 1):
        h = _BASIS_A
        for i in range(offsets[row], offsets[row + 1]):
            h = (h ^ np.uint64(data[i])) * _PRIME_A
        ids[row] = _intern(
            data, offsets[row], offsets[row + 1], _mix(h), slots, hashes, starts, arena, used
        )


@njit(cache=True)
def _rehash(slots: Array, hashes: Array, words: int) -> None:
    mask = np.uint64(slots.size - 1)
    for word in range(words):
        slot = hashes[word, 0] & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = word


class WordTable:
    """Distinct words with ids in order of arrival: open addressing over byte strings.

    Words are compared byte by byte, so equal hashes do no harm.
    """

    def __init__(self, words: int = 1 << 12) -> None:
        self.slots = np.full(4 * words, -1, np.int32)
        self.hashes = np.empty((words, 2), np.uint64)
        self.starts = np.zeros(words + 1, np.int64)
        self.arena = np.empty(16 * words, np.uint8)
        self.used = np.zeros(2, np.int64)

    def __len__(self) -> int:
        return int(self.used[0])

    @property
    def nbytes(self) -> int:
        """Bytes held, used or not."""
        return (self.slots.nbytes + self.hashes.nbytes + self.starts.nbytes + self.arena.nbytes)

    def reserve(self, words: int, size: int) -> None:
        """Make room for that many more words, of that many bytes together."""
        if len(self) + words > len(self.hashes):
            capacity = 1 << int(len(self) + words - 1).bit_length()
            self.hashes = _grown(self.hashes, capacity)
            self.starts = _grown(self.starts, capacity + 1)
            self.slots = np.full(2 * capacity, -1, np.int32)
            _rehash(self.slots, self.hashes, len(self))
        if self.used[1] + size > self.arena.size:
            self.arena = _grown(self.arena, 1 << int(self.used[1] + size - 1).bit_length())

    def intern(self, words: pa.Array) -> Array:
        """Ids (n,) int32 of the words, new ones added; words: strings or bytes, no nulls."""
        data, offsets = string_buffers(words)
        self.reserve(len(words), int(offsets[-1] - offsets[0]))
        ids = np.empty(len(words), np.int32)
        _intern_many(data, offsets, *self._tables(), ids)
        return ids

    def words(self) -> pa.Array:
        """All words in order of their ids, as an Arrow string array (a copy)."""
        return strings_from(self.arena[: self.used[1]].copy(), self.starts[: len(self) + 1])

    def _tables(self) -> tuple[Array, Array, Array, Array, Array]:
        return self.slots, self.hashes, self.starts, self.arena, self.used


@dataclass
class Tokens:
    """Words of n texts: ids of a word table, row by row, and the identities of the texts."""

    ids: Array  # (words,) int32
    ends: Array  # (n,) int64, where each text's words end in ids
    identity: Array  # (n, 2) uint64


class Tokenizer:
    """Tokenizes blocks of texts into the ids of its own growing word table."""

    def __init__(self, recipe: Recipe) -> None:
        self.kind, self.lower = _character_tables(recipe.tokens)
        self._stop_words = pa.array(sorted(recipe.stop_words), pa.string())
        self.restart()

    def restart(self) -> None:
        """Forget all words; ids begin anew."""
        self.table = WordTable()
        self.table.intern(self._stop_words)
        self.stops = len(self.table)

    def tokenize(self, texts: pa.Array) -> Tokens:
        """Words and identities of the texts, which hold valid UTF-8 and no nulls."""
        data, offsets = string_buffers(texts)
        longest = int(np.diff(offsets).max(initial=0)) + 1
        scratch = np.empty(2 * longest + 8, np.uint8)
        ids = np.empty(int(offsets[-1] - offsets[0]) // 4 + longest + 8, np.int32)
        ends = np.empty(len(texts), np.int64)
        identity = np.empty((len(texts), 2), np.uint64)
        row = 0
        while True:
            row = _scan(
                data, offsets, row, self.kind, self.lower, self.stops,
                *self.table._tables(), scratch, ids, ends, identity,
            )
            if row == len(texts):
                break
            need = int(offsets[row + 1] - offsets[row]) + 1
            self.table.reserve(need, 2 * need)
            done = int(ends[row - 1]) if row else 0
            if done + need > ids.size:
                ids = _grown(ids, 2 * ids.size + need)
        return Tokens(ids[: ends[-1] if len(ends) else 0], ends, identity)


@njit(cache=True)
def _hash_strings(data: Array, offsets: Array, hashes: Array) -> None:
    for row in range(offsets.size - 1):
        h = _BASIS_A
        for i in range(offsets[row], offsets[row + 1]):
            h = (h ^ np.uint64(data[i])) * _PRIME_A
        hashes[row, 0] = _mix(h)
        hashes[row, 1] = _hash_b(data, offsets[row], offsets[row + 1])


def hash_strings(strings: pa.Array) -> Array:
    """Two independent hashes (n, 2) uint64 of each string; null is unlike every string."""
    data, offsets = string_buffers(strings.fill_null(""))
    hashes = np.empty((len(strings), 2), np.uint64)
    _hash_strings(data, offsets, hashes)
    hashes[np.asarray(strings.is_null())] = (1, 1)
    return hashes


@njit(cache=True)
def mix_hashes(h: Array, salt: int) -> Array:
    """A new hash (n,) uint64 of each hash: independent for different salts."""
    out = np.empty(h.size, np.uint64)
    step = np.uint64(salt) * _PRIME_B
    for i in range(h.size):
        out[i] = _mix(_mix(h[i] + step) ^ step)
    return out


def string_buffers(strings: pa.Array) -> tuple[Array, Array]:
    """The bytes (uint8) and offsets (n + 1, int32) under a string array, without a copy."""
    _, offsets, data = strings.buffers()
    if len(strings) == 0:
        return np.zeros(0, np.uint8), np.zeros(1, np.int32)
    view = np.frombuffer(offsets, np.int32)[strings.offset : strings.offset + len(strings) + 1]
    if data is None:
        return np.zeros(0, np.uint8), view
    return np.frombuffer(data, np.uint8), view


def strings_from(data: Array, starts: Array) -> pa.Array:
    """An Arrow string array over bytes and n + 1 offsets."""
    offsets = pa.py_buffer(np.ascontiguousarray(starts, np.int32))
    return pa.StringArray.from_buffers(len(starts) - 1, offsets, pa.py_buffer(data))


def _grown(array: Array, size: int) -> Array:
    bigger = np.zeros((size, *array.shape[1:]), array.dtype)
    bigger[: len(array)] = array
    return bigger
