"""Rules of what a word is: as regular expressions, and as tables of characters for the tokenizer.

`reviews/text/tokenizer.py` states them in words.
"""

from functools import cache
from itertools import groupby
from unicodedata import category

import numpy as np

Array = np.ndarray

MARKS = '!?.,:;()"'
SEPARATOR, WORD, APOSTROPHE, MARK, COMBINING, ALONE = 0, 1, 2, 3, 4, 5

# Above these code points there are no letters, and the only marks are variation selectors.
TABLE_SIZE = 0x40000
# First and last code points of the scripts without spaces; of these, letters count, and letters
# that are numbers (category Nl).
UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x16FE2, 0x16FE3), (0x3005, 0x303C), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
    (0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F), (0x1AFF0, 0x1B16F),  # Kana; above, Han
)  # fmt: skip


def pattern(tokens: str, unspaced_characters: bool = False) -> str:
    """The regular expression whose matches in `fold(text)` are the words of a text."""
    alone = frozenset(_unspaced().tolist() if unspaced_characters else ())
    letter, marks = _ranges("LN", alone), _ranges("M")
    word = f"[{letter}][{letter}{marks}]*"
    word += f"(?:'{word})*"
    if alone:
        word += f"|[{_runs(sorted(alone))}][{marks}]*"
    return {
        "letters": "[a-z]+",
        "words": word,
        "words+marks": word + "|[" + "".join("\\" + mark for mark in MARKS) + "]",
    }[tokens]


@cache
def _categories() -> Array:
    """The two letters (TABLE_SIZE, 2) uint8 of the general category of every code point."""
    every = "".join(map(category, _characters()))
    return np.frombuffer(every.encode(), np.uint8).reshape(-1, 2)


def _characters() -> str:
    """All code points below TABLE_SIZE."""
    return np.arange(TABLE_SIZE, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")


@cache
def _unspaced() -> Array:
    """The code points (n,) of letters of scripts without spaces, in order."""
    there = np.zeros(TABLE_SIZE, bool)
    for first, last in UNSPACED:
        there[first : last + 1] = True
    major, minor = _categories().T
    letters = (major == ord("L")) | (major == ord("N")) & (minor == ord("l"))
    return np.flatnonzero(there & letters)


@cache
def _ranges(categories: str, without: frozenset[int] = frozenset()) -> str:
    """The inside of a character class: all characters of these categories but some.

    Spelled out, because \\w means different things to `re` and `regex`.
    """
    return _runs([code for code in range(TABLE_SIZE)
                  if category(chr(code))[0] in categories and code not in without])


def _runs(codes: list[int]) -> str:
    """The inside of a character class: these code points, in order."""
    runs = [[c for _, c in run] for _, run in groupby(enumerate(codes), lambda e: e[1] - e[0])]
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs)


def fold(text: str) -> str:
    """Lower-case each character by itself; U+2019 becomes an apostrophe."""
    return "".join("'" if c == "\u2019" else c.lower()[0] for c in text)


@cache
def character_tables(tokens: str, unspaced_characters: bool) -> tuple[Array, Array]:
    """Class (uint8) and lower-cased code point (int32) of every code point below TABLE_SIZE."""
    # All at once: U+0130 alone would become two, and U+03A3 looks at its neighbours.
    every = _characters().replace("\u0130", "i").replace("\u03a3", "\u03c3")
    lower = np.frombuffer(every.lower().encode("utf-32-le", "surrogatepass"), np.int32).copy()
    if tokens == "letters":
        kind = np.where((lower >= ord("a")) & (lower <= ord("z")), WORD, SEPARATOR).astype(np.uint8)
    else:
        first = _categories()[lower, 0]
        kind = np.full(TABLE_SIZE, SEPARATOR, np.uint8)
        for letter, what in (("L", WORD), ("N", WORD), ("M", COMBINING)):
            kind[first == ord(letter)] = what
        if unspaced_characters:
            kind[_unspaced()] = ALONE
    if tokens != "letters":
        lower[0x2019] = ord("'")
        kind[[ord("'"), 0x2019]] = APOSTROPHE
    if tokens == "words+marks":
        kind[[ord(mark) for mark in MARKS]] = MARK
    return kind, lower
