"""Texts to words: one compiled pass from UTF-8 bytes to word ids and identities.

The rule, which `word_rules.pattern` states as a regular expression over `fold`ed text: every
character is lower-cased by itself (so a final sigma stays a plain sigma), U+2019 becomes an
apostrophe, and then

    letters       runs of a-z                                        (the 2019 rule)
    words         letters and numbers of any script (Unicode categories L and N) with the marks
                  (M) that follow them, joined by inner apostrophes
    words+marks   these, and each of ! ? . , : ; ( ) " as a token of its own

With the recipe's `unspaced_characters`, a letter of a script that is written without spaces
(`word_rules.UNSPACED`), with the marks that follow it, is a word by itself.

The identity of a text is its word sequence without stop words, as two independent 64-bit hashes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from reviews.compiled.functions import compiled, inlined, kernel
from reviews.recipe import Tokenization
from reviews.text.bits import load64
from reviews.text.boundaries import (
    AS_IS,
    AT_ONCE,
    LETTERS,
    WORDS,
    WORDS_AND_MARKS,
    find_tokens,
    stands,
)
from reviews.text.strings import (
    BASIS_A,
    BASIS_B,
    PRIME_A,
    PRIME_B,
    PRIME_C,
    PRIME_D,
    mix,
    read_only,
    string_buffers,
)
from reviews.text.word_rules import (
    ALONE,
    COMBINING,
    MARKS,
    SEPARATOR,
    TABLE_SIZE,
    character_tables,
)
from reviews.text.word_table import HIGH, LOW, WordTable, grown, hash_key, intern, key_of, search

Array = np.ndarray

_RULES = {"letters": LETTERS, "words": WORDS, "words+marks": WORDS_AND_MARKS}
# Bytes after a text that may be read, and are not looked at.
OVERREAD = 80
_BATCH = 256  # tokens looked up at a time


@inlined
def _decode(data: Array, i: Any) -> Any:
    """The code point whose UTF-8 begins at i with a byte of 128 or more, and its size."""
    code = np.int64(data[i])
    if code < 0xE0:
        return (code & 0x1F) << 6 | np.int64(data[i + 1] & 0x3F), 2
    if code < 0xF0:
        return ((code & 0x0F) << 12 | np.int64(data[i + 1] & 0x3F) << 6
                | np.int64(data[i + 2] & 0x3F)), 3
    return ((code & 0x07) << 18 | np.int64(data[i + 1] & 0x3F) << 12
            | np.int64(data[i + 2] & 0x3F) << 6 | np.int64(data[i + 3] & 0x3F)), 4


@inlined
def _encode(code: Any) -> Any:
    """The UTF-8 of a code point, its first byte lowest, and its size."""
    if code < 0x80:
        return np.uint64(code), 1
    if code < 0x800:
        return np.uint64(0xC0 | code >> 6 | (0x80 | code & 0x3F) << 8), 2
    if code < 0x10000:
        return np.uint64(0xE0 | code >> 12 | (0x80 | code >> 6 & 0x3F) << 8
                         | (0x80 | code & 0x3F) << 16), 3
    return np.uint64(0xF0 | code >> 18 | (0x80 | code >> 12 & 0x3F) << 8
                     | (0x80 | code >> 6 & 0x3F) << 16 | (0x80 | code & 0x3F) << 24), 4


@inlined
def _lower(byte: Any) -> Any:
    """The byte, lower-cased where it is a letter of ASCII."""
    return byte | np.uint8(np.uint8(byte - np.uint8(65)) < 26) << np.uint8(5)


@compiled()
def _fold_alone(
    data: Array, i: Any, last: Any, kind: Array, out: Array, n: Any, code: Any
) -> Any:
    """Write a character that is a word, the marks that follow it at data[i:last], and a 0 on both
    sides; return the index after them and the new size.

    Not inlined: texts without such characters do not pay for it.
    """
    if n > 0 and out[n - 1] != 0:
        out[n] = 0
        n += 1
    while True:
        packed, count = _encode(np.int64(code))
        for _ in range(count):
            out[n] = packed & np.uint64(0xFF)
            packed >>= np.uint64(8)
            n += 1
        if i == last or data[i] < 128:
            break
        code, step = _decode(data, i)
        if code >= TABLE_SIZE or kind[code] != COMBINING:
            break
        i += step
    out[n] = 0
    return i, n + 1


@inlined
def _fold(data: Array, i: Any, last: Any, kind: Array, lower: Array, out: Array) -> Any:
    """Write data[i:last] lower-cased, every separator beyond ASCII as 0, a 0 on both sides of a
    word of one character, and some zeros; return its size."""
    n: Any = 0
    while i < last:
        while i + 32 <= last:  # 32 bytes of ASCII at once
            source, target = data[i : i + 32], out[n : n + 32]
            high = np.uint8(0)
            for j in range(32):
                high |= source[j]
            if high > 127:
                break
            for j in range(32):
                target[j] = _lower(source[j])
            i += 32
            n += 32
        while i < last and data[i] < 128:
            out[n] = _lower(data[i])
            i += 1
            n += 1
        while i < last and data[i] > 127:
            code, step = _decode(data, i)
            i += step
            what: int = SEPARATOR
            if code < TABLE_SIZE:
                what = int(kind[code])
            # A mark belongs to the character before it, if that is one of a word.
            if what == COMBINING and (n == 0 or not _in_word(out[n - 1])):
                what = SEPARATOR
            if what == ALONE:
                i, n = _fold_alone(data, i, last, kind, out, n, code)
                continue
            if what == SEPARATOR:
                out[n] = 0
                n += 1
                continue
            packed, count = _encode(np.int64(lower[code]))
            for _ in range(count):
                out[n] = packed & np.uint64(0xFF)
                packed >>= np.uint64(8)
                n += 1
    out[n : n + OVERREAD] = 0
    return n


@inlined
def _in_word(byte: Any) -> Any:
    """True when a byte of folded text belongs to a letter or number (or a mark on one)."""
    return byte > 127 or 97 <= byte <= 122 or 48 <= byte < 58


@inlined
def _make_keys(
    text: Array, case: Any, places: Array, begin: Any, count: Any, own_keys: Array
) -> None:
    """The keys of the tokens at places[:, begin:begin + count] into own_keys (n, 2)."""
    cases = np.uint64(case) * np.uint64(0x0101010101010101)
    for k in range(count):
        first = np.int64(places[0, begin + k])
        size: Any = min(np.int64(places[1, begin + k]) - first, 16)
        own_keys[k, 0] = (load64(text, first) | cases) & LOW[np.uintp(size)]
        own_keys[k, 1] = (load64(text, first + 8) | cases) & HIGH[np.uintp(size)]


@inlined
def _look_up(
    places: Array, begin: Any, batch: Any, own_keys: Array, slots: Array, keys: Array, shift: Any,
    ids: Array, n: Any, misses: Array,
) -> Any:
    """Ids into ids[n:] of the tokens at places[:, begin:begin + batch], whose keys are own_keys.

    One look at a slot settles most of them, and the processor can ask for many words at a time.
    The others, as numbers of the batch, go into misses; return how many. Indices that have no
    sign spare it the question whether they count from the end.
    """
    for k in range(batch):
        slot = np.uintp(hash_key(own_keys[k, 0], own_keys[k, 1]) >> shift)
        ids[n + k] = np.int32(slots[slot]) - np.int32(1)
    missed = np.uintp(0)
    for k in range(batch):
        word = np.uintp(max(ids[n + k], 0))
        other = keys[word, 0] ^ own_keys[k, 0] | keys[word, 1] ^ own_keys[k, 1]
        misses[missed] = k
        missed += np.uintp((other != 0) | (ids[n + k] < 0)
                           | (places[1, begin + k] - places[0, begin + k] > 16))
    return missed


@kernel(returns=int)
def _scan(
    data: Array, offsets: Array, row: int, kind: Array, lower: Array, rule: int,
    stops: int, slots: Array, keys: Array, starts: Array, arena: Array, used: Array,
    folded: Array, folded_text: Array, places: Array, own_keys: Array, misses: Array, ids: Array,
    ends: Array, identity: Array,
) -> int:
    """Tokenize rows from `row` on until one might not fit; return that row.

    Every table has room for one id, word and byte a byte of input (two for lower-casing).
    folded_text is folded, for reading: it takes the rows that are not as they stand. own_keys and
    misses are for the tokens that take turns.

    The tokens of a row take turns: keys of some, then a look at the table for each, then the
    hashes.
    """
    n: Any = np.uintp(ends[row - 1] if row > 0 else 0)
    while row < offsets.size - 1:
        i, last = np.int64(offsets[row]), np.int64(offsets[row + 1])
        size = last - i
        if (np.int64(n) + size >= ids.size or used[0] + size + 1 >= starts.size
                or used[1] + 2 * size + 2 > arena.size):
            return row
        # Bytes of ASCII words are lower-cased by one bit, which is no reason to copy a text.
        text, case = data, np.uint8(0x20)
        if last + OVERREAD > data.size or not stands(data, i, last, rule):
            size = _fold(data, i, last, kind, lower, folded)
            text, i, case = folded_text, np.int64(0), AS_IS
        a, b, first_id = BASIS_A, BASIS_B, n
        tokens = np.uintp(find_tokens(text, i, size, case, rule, places))
        for begin in range(np.uintp(0), tokens, np.uintp(_BATCH)):
            batch = min(tokens - begin, np.uintp(_BATCH))
            _make_keys(text, case, places, begin, batch, own_keys)
            missed = _look_up(
                places, begin, batch, own_keys, slots, keys, np.uint64(used[2]), ids, n, misses)
            for j in range(missed):
                at = np.uintp(misses[j])
                first = np.int64(places[0, begin + at])
                width = np.int64(places[1, begin + at]) - first
                if case:
                    for place in range(width):
                        folded[place] = text[first + place] | case
                    first = np.int64(0)
                word = np.uintp(intern(folded_text, first, width, slots, keys, starts, arena, used))
                ids[n + at] = np.int32(word)
                own_keys[at, 0], own_keys[at, 1] = keys[word, 0], keys[word, 1]
            to = n
            for k in range(batch):
                word = ids[n + k]
                if word < stops:
                    continue
                ids[to] = word
                to += np.uintp(1)
                low, high = own_keys[k, 0], own_keys[k, 1]
                hashed = hash_key(low, high)
                a = (a ^ hashed ^ hashed >> np.uint64(32)) * PRIME_B
                a ^= a >> np.uint64(32)
                other = (high ^ low * PRIME_C) * PRIME_D
                b = (b + (other ^ other >> np.uint64(29))) * PRIME_A
                b ^= b >> np.uint64(31)
            n = to
        identity[row, 0] = mix(a ^ np.uint64(n - first_id))
        identity[row, 1] = mix(b + np.uint64(n - first_id))
        ends[row] = n
        row += 1
    return row


@kernel(returns=int)
def _find(
    data: Array, offsets: Array, row: int, kind: Array, lower: Array, rule: int,
    stops: int, slots: Array, keys: Array, starts: Array, arena: Array, used: Array,
    folded: Array, folded_text: Array, places: Array, own_keys: Array, misses: Array, ids: Array,
    ends: Array,
) -> Any:
    """As `_scan`, of words that are known: others have the number of words as their id."""
    n: Any = np.uintp(ends[row - 1] if row > 0 else 0)
    while row < offsets.size - 1:
        i, last = np.int64(offsets[row]), np.int64(offsets[row + 1])
        size = last - i
        if np.int64(n) + size >= ids.size:
            return row
        text, case = data, np.uint8(0x20)
        if last + OVERREAD > data.size or not stands(data, i, last, rule):
            size = _fold(data, i, last, kind, lower, folded)
            text, i, case = folded_text, np.int64(0), AS_IS
        tokens = np.uintp(find_tokens(text, i, size, case, rule, places))
        for begin in range(np.uintp(0), tokens, np.uintp(_BATCH)):
            batch = min(tokens - begin, np.uintp(_BATCH))
            _make_keys(text, case, places, begin, batch, own_keys)
            missed = _look_up(
                places, begin, batch, own_keys, slots, keys, np.uint64(used[2]), ids, n, misses)
            for j in range(missed):
                at = np.uintp(misses[j])
                first = np.int64(places[0, begin + at])
                width = np.int64(places[1, begin + at]) - first
                low, high = own_keys[at, 0], own_keys[at, 1]
                if width > 16:  # not its own key
                    for place in range(width if case else 0):
                        folded[place] = text[first + place] | case
                    first = np.int64(0) if case else first
                    low, high = key_of(folded_text, first, width)
                word, _ = search(
                    folded_text, first, width, low, high, slots, keys, starts, arena, used)
                ids[n + at] = np.int32(word if word >= 0 else used[0])
            to = n
            for k in range(batch):
                ids[to] = ids[n + k]
                to += np.uintp(ids[to] >= stops)
            n = to
        ends[row] = n
        row += 1
    return row


@dataclass
class Tokens:
    """Words of n texts: ids of a word table, row by row, and the identities of the texts."""

    ids: Array  # (words,) int32
    ends: Array  # (n,) int64, where each text's words end in ids
    identity: Array  # (n, 2) uint64


class Tokenizer:
    """Tokenizes blocks of texts into the ids of its own growing word table."""

    def __init__(self, rules: Tokenization) -> None:
        self.kind, self.lower = character_tables(
            rules.tokens, rules.unspaced_characters)
        self.rule = _RULES[rules.tokens]
        self._stop_words = pa.array(sorted(rules.stop_words), pa.string())
        self.restart()

    def restart(self) -> None:
        """Forget all words; ids begin anew."""
        self.table = WordTable()
        self.table.intern(self._stop_words)
        self.stops = len(self.table)

    def marks(self) -> Array:
        """The ids of single punctuation marks."""
        return self.table.intern(pa.array(list(MARKS), pa.string()))

    def tokenize(self, texts: pa.Array) -> Tokens:
        """Words and identities of the texts, which hold valid UTF-8 and no nulls."""
        identity = np.empty((len(texts), 2), np.uint64)
        return Tokens(*self._ids(texts, identity), identity)

    def find(self, texts: pa.Array) -> tuple[Array, Array]:
        """Ids and ends of their words, as in Tokens; a word that the table does not have gets
        the number of those it has. Nothing is learned, so that any thread may call it."""
        return self._ids(texts)

    def _ids(self, texts: pa.Array, identity: Array | None = None) -> tuple[Array, Array]:
        """The same; with `identity` (n, 2), which is filled, new words are learned."""
        data, offsets = string_buffers(texts)
        longest = int(np.diff(offsets).max(initial=0)) + 1
        folded = np.empty(2 * longest + 160, np.uint8)
        places = np.empty((2, 2 * longest + AT_ONCE + 64), np.int32)
        own_keys, misses = np.empty((_BATCH, 2), np.uint64), np.empty(_BATCH + 1, np.int16)
        ids = np.empty(int(offsets[-1] - offsets[0]) // 4 + longest + 8, np.int32)
        ends = np.empty(len(texts), np.int64)
        row = 0
        while True:
            around = data, offsets, row, self.kind, self.lower, self.rule, self.stops
            found = folded, read_only(folded), places, own_keys, misses, ids, ends
            if identity is None:
                row = _find(*around, *self.table.tables(), *found)
            else:
                row = _scan(*around, *self.table.tables(), *found, identity)
            if row == len(texts):
                return ids[: ends[-1] if len(ends) else 0], ends
            need = int(offsets[row + 1] - offsets[row]) + 1
            if identity is not None:
                self.table.reserve(need, 2 * need)
            done = int(ends[row - 1]) if row else 0
            if done + need > ids.size:
                ids = grown(ids, 2 * ids.size + need)
