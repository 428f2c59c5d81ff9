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

from reviews.bits import at_least, between, count_ones, equal, load64, trailing_zeros
from reviews.recipe import Recipe
from reviews.strings import (
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
from reviews.word_table import HIGH, LOW, WordTable, grown, hash_key, intern, slot_of

Array = np.ndarray

MARKS = '!?.,:;()"'
SEPARATOR, WORD, APOSTROPHE, MARK, COMBINING = 0, 1, 2, 3, 4
LETTERS, WORDS, WORDS_AND_MARKS = range(3)
_RULES = {"letters": LETTERS, "words": WORDS, "words+marks": WORDS_AND_MARKS}

# Above these code points there are no letters, and the only marks are variation selectors.
TABLE_SIZE = 0x40000
# Bytes after a text that may be read, and are not looked at.
OVERREAD = 80
_AT_ONCE = 12  # tokens of 64 bytes, seldom more
_AS_IS = np.uint8(0)


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
def _character_tables(tokens: str) -> tuple[Array, Array, Array]:
    """Class (uint8) and lower-cased code point (int32) of every code point below TABLE_SIZE.

    Before them, for each byte of ASCII: what it becomes in folded text, 0 for separators.
    """
    # U+0130 becomes two, of which the first counts.
    small = [lowered[0] for lowered in map(str.lower, map(chr, range(TABLE_SIZE)))]
    lower = np.fromiter(map(ord, small), np.int32, TABLE_SIZE)
    if tokens == "letters":
        kind = np.where((lower >= ord("a")) & (lower <= ord("z")), WORD, SEPARATOR).astype(np.uint8)
    else:
        what = {"L": WORD, "N": WORD, "M": COMBINING}
        classes = (what.get(category(character)[0], SEPARATOR) for character in small)
        kind = np.fromiter(classes, np.uint8, TABLE_SIZE)
    if tokens != "letters":
        lower[0x2019] = ord("'")
        kind[[ord("'"), 0x2019]] = APOSTROPHE
    if tokens == "words+marks":
        kind[[ord(mark) for mark in MARKS]] = MARK
    plain = np.zeros(256, np.uint8)
    plain[:128] = np.where(kind[:128] == SEPARATOR, 0, lower[:128])
    return plain, kind, lower


@njit(cache=True, inline="always")
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


@njit(cache=True, inline="always")
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


@njit(cache=True, inline="always")
def _fold(
    data: Array, i: Any, last: Any, plain: Array, kind: Array, lower: Array, out: Array
) -> Any:
    """Write data[i:last] lower-cased, every separator as 0, and some zeros; return its size."""
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
                target[j] = plain[source[j]]
            i += 32
            n += 32
        while i < last and data[i] < 128:
            out[n] = plain[data[i]]
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


@njit(cache=True, inline="always")
def _in_word(byte: Any) -> Any:
    """Whether a byte of folded text belongs to a letter or number (or a mark on one)."""
    return byte >= 97 or 48 <= byte < 58


@njit(cache=True, inline="always")
def _bounds(text: Array, i: Any, left: Any, case: Any, rule: Any, carried: Any) -> Any:
    """Where tokens begin and end among the 64 bytes text[i:i + 64], as bits.

    Of these bytes `left` belong to the text. carried: whether the byte before them is of a
    letter, of a word, a mark. Returns the first bytes, the bytes after the last ones, and what
    the next 64 bytes carry.
    """
    one, last = np.uint64(1), np.uint64(63)
    inside = ~np.uint64(0) if left >= 64 else (one << np.uint64(left)) - one
    was_letter, was_word, was_mark = carried
    letter = between(text, i, case, np.uint8(97), np.uint8(122))
    mark = np.uint64(0)
    if rule == LETTERS:
        word = letter = letter & inside
    else:
        letter |= at_least(text, i, np.uint8(128))
        letter |= between(text, i, _AS_IS, np.uint8(48), np.uint8(57))
        letter &= inside
        # An apostrophe belongs to the word only between two word characters. The byte before
        # the 64 may be an apostrophe of a word itself; then a second one does not follow here.
        after = letter >> one
        if left > 64:
            byte = text[i + 64]
            after |= np.uint64(97 <= byte | case <= 122 or byte > 127 or 48 <= byte < 58) << last
        word = letter | equal(text, i, np.uint8(39)) & after & (letter << one | was_letter)
        if rule == WORDS_AND_MARKS:
            mark = inside & (  # ! " ( ) , . : ; ?
                between(text, i, _AS_IS, np.uint8(33), np.uint8(34))
                | between(text, i, _AS_IS, np.uint8(40), np.uint8(41))
                | equal(text, i, np.uint8(44)) | equal(text, i, np.uint8(46))
                | between(text, i, _AS_IS, np.uint8(58), np.uint8(59))
                | equal(text, i, np.uint8(63)))
    shifted = word << one | was_word
    firsts = word & ~shifted | mark
    ends = ~word & shifted | mark << one | was_mark
    return firsts, ends, (letter >> last, word >> last, mark >> last)


@njit(cache=True, inline="always")
def _is_ascii(data: Array, i: Any, last: Any) -> Any:
    """Whether data[i:last] is ASCII, when 64 bytes may be read at each of them."""
    while i + 64 <= last:
        if at_least(data, i, np.uint8(128)):
            return False
        i += 64
    return i == last or at_least(data, i, np.uint8(128)) << np.uint64(64 - (last - i)) == 0


@njit(cache=True, inline="always")
def _put_places(bits: Any, base: Any, places: Array, n: Any) -> Any:
    """Write base + j for each bit j that is 1 to places[n:]; return the new end.

    A fixed count and no exit spare the processor a wrong guess; what is written too much is
    written over.
    """
    one = np.uint64(1)
    end = n + count_ones(bits)
    for k in range(_AT_ONCE):
        places[n + k] = base + trailing_zeros(bits)
        bits &= bits - one
    n += _AT_ONCE
    while bits:
        places[n] = base + trailing_zeros(bits)
        bits &= bits - one
        n += 1
    return end


@njit(cache=True, inline="always")
def _find_tokens(text: Array, i: Any, size: Any, case: Any, rule: Any, places: Array) -> Any:
    """Where the tokens of text[i:i + size] begin and end, into places (2, n); how many."""
    begun: Any = 0
    ended: Any = 0
    base: Any = 0
    carried = (np.uint64(0), np.uint64(0), np.uint64(0))
    while base <= size:
        firsts, ends, carried = _bounds(text, i + base, size - base, case, rule, carried)
        begun = _put_places(firsts, i + base, places[0], begun)
        ended = _put_places(ends, i + base, places[1], ended)
        base += 64
    return ended


@njit(cache=True, nogil=True)
def _scan(
    data: Array, offsets: Array, row: int, plain: Array, kind: Array, lower: Array, rule: int,
    stops: int, slots: Array, keys: Array, starts: Array, arena: Array, used: Array,
    folded: Array, folded_text: Array, places: Array, ids: Array, ends: Array, identity: Array,
) -> Any:
    """Tokenize rows from `row` on until one might not fit; return that row.

    Every table has room for one id, word and byte a byte of input (two for lower-casing).
    folded_text is folded, for reading: it takes the rows that are not as they stand.
    """
    n: Any = ends[row - 1] if row > 0 else np.int64(0)
    while row < offsets.size - 1:
        i, last = np.int64(offsets[row]), np.int64(offsets[row + 1])
        size = last - i
        if (n + size >= ids.size or used[0] + size + 1 >= starts.size
                or used[1] + 2 * size + 2 > arena.size):
            return row
        # Bytes of ASCII words are lower-cased by one bit, which is no reason to copy a text.
        text, case = data, np.uint8(0x20)
        if last + OVERREAD > data.size or not _is_ascii(data, i, last):
            size = _fold(data, i, last, plain, kind, lower, folded)
            text, i, case = folded_text, np.int64(0), _AS_IS
        eight_cases = np.uint64(case) * np.uint64(0x0101010101010101)
        a, b = BASIS_A, BASIS_B
        begin = n
        for token in range(_find_tokens(text, i, size, case, rule, places)):
            first: Any = np.int64(places[0, token])
            width = np.int64(places[1, token]) - first
            own: Any = min(width, 16)
            low = (load64(text, first) | eight_cases) & LOW[own]
            high = (load64(text, first + 8) | eight_cases) & HIGH[own]
            hashed = hash_key(low, high)
            slot = slot_of(hashed, used)
            word = np.int64(slots[slot]) - 1
            while word >= 0 and (keys[word, 0] != low or keys[word, 1] != high):
                slot = (slot + 1) & (slots.size - 1)
                word = np.int64(slots[slot]) - 1
            if word < 0 or width > 16:
                if case:
                    for k in range(width):
                        folded[k] = text[first + k] | case
                    first = np.int64(0)
                word = intern(folded_text, first, width, slots, keys, starts, arena, used)
                low, high = keys[word, 0], keys[word, 1]
                hashed = hash_key(low, high)
            if word >= stops:
                ids[n] = word
                n += 1
                a = (a ^ hashed ^ hashed >> np.uint64(32)) * PRIME_B
                a ^= a >> np.uint64(32)
                other = (high ^ low * PRIME_C) * PRIME_D
                b = (b + (other ^ other >> np.uint64(29))) * PRIME_A
                b ^= b >> np.uint64(31)
        identity[row, 0] = mix(a ^ np.uint64(n - begin))
        identity[row, 1] = mix(b + np.uint64(n - begin))
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

    def __init__(self, recipe: Recipe) -> None:
        self.plain, self.kind, self.lower = _character_tables(recipe.tokens)
        self.rule = _RULES[recipe.tokens]
        self._stop_words = pa.array(sorted(recipe.stop_words), pa.string())
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
        data, offsets = string_buffers(texts)
        longest = int(np.diff(offsets).max(initial=0)) + 1
        folded = np.empty(2 * longest + 160, np.uint8)
        places = np.empty((2, 2 * longest + _AT_ONCE + 64), np.int32)
        ids = np.empty(int(offsets[-1] - offsets[0]) // 4 + longest + 8, np.int32)
        ends = np.empty(len(texts), np.int64)
        identity = np.empty((len(texts), 2), np.uint64)
        row = 0
        while True:
            row = _scan(
                data, offsets, row, self.plain, self.kind, self.lower, self.rule, self.stops,
                *self.table.tables(), folded, read_only(folded), places, ids, ends, identity,
            )
            if row == len(texts):
                break
            need = int(offsets[row + 1] - offsets[row]) + 1
            self.table.reserve(need, 2 * need)
            done = int(ends[row - 1]) if row else 0
            if done + need > ids.size:
                ids = grown(ids, 2 * ids.size + need)
        return Tokens(ids[: ends[-1] if len(ends) else 0], ends, identity)

