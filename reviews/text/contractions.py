"""English contractions written out: don't -> do not, I've -> I have, it's -> it is.

What 's stands for after other words (a name's, mostly) cannot be known, so these stay. Sources
that are tokenized already have a space before the apostrophe or the n: "could n't", "i 'm".
"""

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reviews.compiled.functions import compiled, inlined
from reviews.text.strings import string_buffers, strings_from

Array = np.ndarray

# Stems before n't that are not words of their own.
IRREGULAR = {"ca": "can", "wo": "will", "sha": "shall", "ai": "is"}
SUFFIXES = {"re": "are", "ve": "have", "ll": "will", "d": "would", "m": "am"}
# After these 's is "is"; after "let" it is "us".
BEFORE_IS = ("it", "he", "she", "that", "there", "here", "what", "who", "where", "when", "how",
             "why")  # fmt: skip
_LONGEST = 8  # letters of a stem or suffix that matter

_PATTERN = re.compile(r"([A-Za-z]*)['\u2019]([A-Za-z]+)")


def expand_text(text: str) -> str:
    """The rule for one text, spelled out in Python: what `expand_contractions` is tested against.

    A stem is the letters a-z before the apostrophe since the last one that was written out.
    """

    def replace(match: re.Match[str]) -> str:
        stem, suffix = match[1], match[2].lower()
        low = stem.lower()
        if suffix == "t" and low.endswith("n"):
            stem, low = stem[:-1], low[:-1]
            return f"{IRREGULAR.get(low, stem)} not" if stem else "not"
        if suffix in SUFFIXES:
            return f"{stem} {SUFFIXES[suffix]}"
        if suffix == "s" and (low in BEFORE_IS or low == "let"):
            return f"{stem} {'us' if low == 'let' else 'is'}"
        return match[0]

    return _PATTERN.sub(replace, text)


def expand_contractions(texts: pa.Array) -> pa.Array:
    """The texts (no nulls) with contractions written out."""
    if not pc.any(pc.match_substring_regex(texts, "['\u2019]")).as_py():
        return texts
    data, offsets = string_buffers(texts)
    # At most doubled: n't becomes can not, 'm becomes am.
    out = np.empty(3 * int(offsets[-1] - offsets[0]) + 16, np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    _expand(data, offsets, *_STEMS, *_ENDINGS, _IS, out, ends)
    return strings_from(out[: ends[-1]].copy(), ends)


def _pack(word: str) -> int:
    """Up to eight letters as one number, the first one lowest."""
    return int.from_bytes(word.encode(), "little")


def _packed(words: dict[str, str]) -> tuple[Array, Array]:
    """Keys and what they stand for (n,) uint64."""
    return (np.array([_pack(key) for key in words], np.uint64),
            np.array([_pack(value) for value in words.values()], np.uint64))


_STEMS = _packed(IRREGULAR)
_ENDINGS = _packed(SUFFIXES)
_IS = np.array([_pack(word) for word in BEFORE_IS], np.uint64)
_S, _T, _LET = (np.uint64(_pack(word)) for word in ("s", "t", "let"))
_WORD_IS, _WORD_US, _WORD_NOT = (np.uint64(_pack(word)) for word in ("is", "us", "not"))
_NONE = np.uint64(0)


@inlined
def _letter(byte: Any) -> Any:
    return 97 <= byte <= 122 or 65 <= byte <= 90


@compiled()
def _key(data: Array, first: Any, end: Any) -> Any:
    """The letters in lower case as one number; 0 when there are none or too many."""
    key = np.uint64(0)
    if end - first > _LONGEST:
        return key
    for i in range(first, end):
        key |= np.uint64(data[i] | 32) << np.uint64(8 * (i - first))
    return key


@compiled()
def _put(out: Array, n: Any, word: Any) -> Any:
    """Write the letters of a number; return the new end."""
    while word:
        out[n] = word & np.uint64(0xFF)
        word >>= np.uint64(8)
        n += 1
    return n


@compiled()
def _value(keys: Array, values: Array, key: Any) -> Any:
    for i in range(keys.size):
        if keys[i] == key:
            return values[i]
    return _NONE


@compiled(nogil=True)
def _expand(
    data: Array, offsets: Array, stems: Array, stem_words: Array, endings: Array,
    ending_words: Array, before_is: Array, out: Array, ends: Array,
) -> None:
    n: Any = np.int64(0)
    for row in range(offsets.size - 1):
        i, last = np.int64(offsets[row]), np.int64(offsets[row + 1])
        stem = i  # where the letters before i begin
        while i < last:
            mark = 0
            if data[i] == 39:
                mark = 1
            elif data[i] == 0xE2 and data[i + 1] == 0x80 and data[i + 2] == 0x99:
                mark = 3
            end = i + mark
            while mark and end < last and _letter(data[end]):
                end += 1
            if mark == 0 or end == i + mark:
                out[n] = data[i]
                n += 1
                i += 1
                if not _letter(data[i - 1]):
                    stem = i
                continue
            suffix = _key(data, i + mark, end)
            known = _NONE
            if suffix == _T and i > stem and data[i - 1] | 32 == 110:
                known = _WORD_NOT
                n -= 1
                whole = _value(stems, stem_words, _key(data, stem, i - 1))
                if whole:
                    n = _put(out, n - (i - 1 - stem), whole)
            elif suffix == _S and i > stem:
                word = _key(data, stem, i)
                if word == _LET:
                    known = _WORD_US
                for k in range(before_is.size):
                    if before_is[k] == word:
                        known = _WORD_IS
            elif suffix != _S:
                known = _value(endings, ending_words, suffix)
            if known:
                if not (known == _WORD_NOT and i - 1 == stem):
                    out[n] = 32
                    n += 1
                n = _put(out, n, known)
            else:
                out[n : n + end - i] = data[i:end]
                n += end - i
            i = stem = end
        ends[row + 1] = n
