"""Rules about single characters and runs of them: ASCII, emoji, repeats.

Each has its plain Python form beside the compiled one, which is tested against it.
"""

import re
import unicodedata
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reviews.compiled.functions import compiled, inlined
from reviews.text.strings import string_buffers, strings_from

Array = np.ndarray

# Code points from here on, CJK of the supplementary planes and tags, are all treated alike.
TABLE_SIZE = 0x20000
_EMOJI = ((0x2600, 0x27C0), (0x2B00, 0x2C00), (0x1F000, 0x1FB00))
# What decomposition does not bring to ASCII.
_FOLDED = {
    "ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D",
    "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ł": "l", "Ł": "L", "ı": "i", "ħ": "h", "Ħ": "H",
    "‘": "'", "’": "'", "‛": "'", "‚": ",", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"',
    "‹": "'", "›": "'", "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "―": "-", "−": "-",
    "⁄": "/", "•": "*",
}  # fmt: skip


def is_emoji(character: str) -> bool:
    """True when a character is a symbol of the blocks that hold emoji."""
    code = ord(character)
    inside = any(first <= code < end for first, end in _EMOJI)
    return inside and unicodedata.category(character) == "So"


def emoji_word(character: str) -> str:
    """The word, of letters alone, that stands for an emoji: its Unicode name."""
    return "emoji" + re.sub("[^a-z]", "", unicodedata.name(character).lower())


def ascii_of(character: str) -> str:
    """A character in ASCII, without accents; emoji stay, and a space stands for what has none."""
    if character.isascii() or is_emoji(character):
        return character
    if ord(character) >= TABLE_SIZE:
        return " "
    if unicodedata.category(character) in ("Mn", "Me", "Cf", "Sk"):
        return ""
    parts = [c for c in unicodedata.normalize("NFKD", character)
             if not unicodedata.combining(c)]
    return "".join(c if c.isascii() else _FOLDED.get(c, " ") for c in parts)


def squeeze_text(text: str) -> str:
    """Runs of more than two equal characters become two, but for digits and white space."""
    out = []
    for character, run in groupby(text):
        n = len(list(run))
        free = character in " \t\n\r\f\v0123456789"
        out.append(character * (n if free else min(n, 2)))
    return "".join(out)


def fold_ascii(texts: pa.Array) -> pa.Array:
    """Each character (of texts without nulls) by `ascii_of`."""
    return _mapped(texts, *_ascii_table())


def emoji_words(texts: pa.Array) -> pa.Array:
    """Each emoji (of texts without nulls) becomes its word, between spaces."""
    return _mapped(texts, *_emoji_table())


def squeeze_repeats(texts: pa.Array) -> pa.Array:
    """Each text (no nulls) by `squeeze_text`."""
    data, offsets = string_buffers(texts)
    out = np.empty(int(offsets[-1] - offsets[0]) + 1, np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    _squeeze(data, offsets, out, ends)
    return strings_from(out[: ends[-1]], ends)


@cache
def _ascii_table() -> tuple[Array, Array]:
    def folded(code: int) -> str | None:
        if code < 0x80 or 0xD800 <= code < 0xE000:
            return None
        there = ascii_of(chr(code))
        return None if there == chr(code) else there

    return _table([folded(code) for code in range(TABLE_SIZE + 1)])


@cache
def _emoji_table() -> tuple[Array, Array]:
    return _table([f" {emoji_word(chr(code))} " if is_emoji(chr(code)) else None
                   for code in range(TABLE_SIZE + 1)])


def _table(replacements: list[str | None]) -> tuple[Array, Array]:
    """Begin (-1: none) and end of each code point's replacement in the bytes (n, 2).

    The last row is that of all code points beyond the table.
    """
    places = np.full((len(replacements), 2), -1, np.int64)
    pieces: list[bytes] = []
    size = 0
    for code, text in enumerate(replacements):
        if text is not None:
            pieces.append(text.encode())
            places[code] = size, size + len(pieces[-1])
            size += len(pieces[-1])
    return places, np.frombuffer(b"".join(pieces), np.uint8)


def _mapped(texts: pa.Array, places: Array, replacements: Array) -> pa.Array:
    """The texts with their characters replaced; those in ASCII stay as they are."""
    touched = pc.invert(pc.string_is_ascii(texts))
    if pc.any(touched, min_count=0).as_py():
        some = _mapped_all(texts.filter(touched), places, replacements)
        return pc.replace_with_mask(texts, touched, some)
    return texts


def _mapped_all(texts: pa.Array, places: Array, replacements: Array) -> pa.Array:
    data, offsets = string_buffers(texts)
    ends = np.zeros(len(offsets), np.int64)
    _map(data, offsets, places, replacements, np.empty(0, np.uint8), ends, False)
    out = np.empty(ends[-1], np.uint8)
    _map(data, offsets, places, replacements, out, ends, True)
    return strings_from(out, ends)


@inlined
def _size_at(first: Any) -> Any:
    """Bytes of the UTF-8 sequence that begins with this byte."""
    return 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4


@compiled(nogil=True)
def _map(
    data: Array, offsets: Array, places: Array, replacements: Array, out: Array, ends: Array,
    write: bool,
) -> None:
    """Replace characters; without `write` only the ends of the texts are found."""
    n: Any = 0
    for row in range(offsets.size - 1):
        i = np.int64(offsets[row])
        while i < offsets[row + 1]:
            first = np.int64(data[i])
            if first < 0x80:
                if write:
                    out[n] = first
                n += 1
                i += 1
                continue
            size = _size_at(first)
            code = first & (0xFF >> (size + 1))
            for k in range(1, size):
                code = code << 6 | np.int64(data[i + k] & 0x3F)
            code = min(code, places.shape[0] - 1)
            start, end = places[code, 0], places[code, 1]
            if write and start < 0:
                out[n : n + size] = data[i : i + size]
            elif write:
                out[n : n + end - start] = replacements[start:end]
            n += size if start < 0 else end - start
            i += size
        ends[row + 1] = n


@compiled(nogil=True)
def _squeeze(data: Array, offsets: Array, out: Array, ends: Array) -> None:
    n: Any = 0
    for row in range(offsets.size - 1):
        begin, i = np.int64(offsets[row]), np.int64(offsets[row])
        while i < offsets[row + 1]:
            first = np.int64(data[i])
            if first < 0x80:
                free = 48 <= first <= 57 or first == 32 or 9 <= first <= 13
                if free or i < begin + 2 or data[i - 1] != first or data[i - 2] != first:
                    out[n] = first
                    n += 1
                i += 1
                continue
            # A sequence of UTF-8 is never found inside of another one.
            size = np.int64(_size_at(first))
            third = i >= begin + 2 * size
            for k in range(size):
                third = third and data[i + k] == data[i + k - size] == data[i + k - 2 * size]
            if not third:
                for k in range(size):
                    out[n + k] = data[i + k]
                n += size
            i += size
        ends[row + 1] = n
