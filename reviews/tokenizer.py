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

from reviews.bits import at_least, equal, load64, trailing_zeros
from reviews.recipe import Recipe
from reviews.strings import BASIS_A, BASIS_B, PRIME_A, PRIME_B, mix, string_buffers
from reviews.word_table import HIGH, LOW, WordTable, grown, intern, slot_of

Array = np.ndarray

MARKS = '!?.,:;()"'
SEPARATOR, WORD, APOSTROPHE, MARK, COMBINING = 0, 1, 2, 3, 4

# Above these code points there are no letters, and the only marks are variation selectors.
TABLE_SIZE = 0x40000



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
    small = [chr(code).lower()[0] for code in range(TABLE_SIZE)]
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
    """Write data[i:last] lower-cased, every separator as 0, and 72 zeros; return its size."""
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
    out[n : n + 72] = 0
    return n


@njit(cache=True, inline="always")
def _in_word(byte: Any) -> Any:
    """Whether a byte of folded text belongs to a letter or number (or a mark on one)."""
    return byte >= 97 or 48 <= byte < 58


@njit(cache=True, inline="always")
def _bounds(folded: Array, base: Any, words: Any, marks: Any) -> Any:
    """Where tokens begin and end among 64 bytes of folded text, as bits.

    words and marks: whether the byte before them belongs to a word, or is a mark. Returns the
    first bytes, the bytes after the last ones, and the same two of the last of the 64 bytes.
    """
    one = np.uint64(1)
    letter = at_least(folded, base, np.uint8(97)) | (
        at_least(folded, base, np.uint8(48)) & ~at_least(folded, base, np.uint8(58)))
    quote = equal(folded, base, np.uint8(39))
    mark = at_least(folded, base, np.uint8(1)) & ~letter & ~quote
    # An apostrophe belongs to the word only between two word characters. The byte before the
    # 64 may be an apostrophe of a word itself; then a second one does not follow here.
    after = letter >> one | np.uint64(_in_word(folded[base + 64])) << np.uint64(63)
    before = letter << one | np.uint64(base > 0 and _in_word(folded[base - 1]))
    word = letter | quote & before & after
    shifted = word << one | words
    firsts = word & ~shifted | mark
    ends = ~word & shifted | mark << one | marks
    return firsts, ends, word >> np.uint64(63), mark >> np.uint64(63)


@njit(cache=True, nogil=True)
def _scan(
    data: Array, offsets: Array, row: int, plain: Array, kind: Array, lower: Array, stops: int,
    slots: Array, known: Array, starts: Array, arena: Array, used: Array,
    folded: Array, ids: Array, ends: Array, identity: Array,
) -> Any:
    """Tokenize rows from `row` on until one might not fit; return that row.

    Every table has room for one id, word and byte a byte of input (two for lower-casing).
    """
    one = np.uint64(1)
    n: Any = ends[row - 1] if row > 0 else np.int64(0)
    while row < offsets.size - 1:
        i, last = np.int64(offsets[row]), np.int64(offsets[row + 1])
        room = last - i + 1
        if (n + room > ids.size or used[0] + room >= starts.size
                or used[1] + 2 * room > arena.size):
            return row
        size = _fold(data, i, last, plain, kind, lower, folded)
        a, b = BASIS_A, BASIS_B
        begin = n
        words, marks = np.uint64(0), np.uint64(0)
        first: Any = -1
        base: Any = 0
        while base <= size:
            firsts, lasts, words, marks = _bounds(folded, base, words, marks)
            while lasts:
                if first < 0:
                    first = base + trailing_zeros(firsts)
                    firsts &= firsts - one
                width = base + trailing_zeros(lasts) - first
                lasts &= lasts - one
                word = np.int64(-1)
                if width <= 16:
                    # Nearly all words are where their key says; the rest is left to intern.
                    low = load64(folded, first) & LOW[width]
                    high = load64(folded, first + 8) & HIGH[width]
                    guess = np.int64(slots[slot_of(low, high, used)]) - 1
                    if (guess >= 0 and known[guess, 0] == low and known[guess, 1] == high
                            and known[guess, 2] == width):
                        word = guess
                if word < 0:
                    word = intern(folded, first, width, slots, known, starts, arena, used)
                first = -1
                if word >= stops:
                    ids[n] = word
                    n += 1
                    a = (a ^ known[word, 3]) * PRIME_B
                    a ^= a >> np.uint64(32)
                    b = (b + known[word, 4]) * PRIME_A
                    b ^= b >> np.uint64(31)
            if firsts:
                first = base + trailing_zeros(firsts)
            base += 64
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
        folded = np.empty(2 * longest + 160, np.uint8)
        ids = np.empty(int(offsets[-1] - offsets[0]) // 4 + longest + 8, np.int32)
        ends = np.empty(len(texts), np.int64)
        identity = np.empty((len(texts), 2), np.uint64)
        row = 0
        while True:
            row = _scan(
                data, offsets, row, self.plain, self.kind, self.lower, self.stops,
                *self.table.tables(), folded, ids, ends, identity,
            )
            if row == len(texts):
                break
            need = int(offsets[row + 1] - offsets[row]) + 1
            self.table.reserve(need, 2 * need)
            done = int(ends[row - 1]) if row else 0
            if done + need > ids.size:
                ids = grown(ids, 2 * ids.size + need)
        return Tokens(ids[: ends[-1] if len(ends) else 0], ends, identity)

