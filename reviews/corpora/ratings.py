"""Ratings on the recipe's scale: numbers, and texts that carry one.

A text that names its scale ("4.0 out of 5 stars", "8/10", "80%", hollow stars) is brought to the
recipe's by its share of the highest rating. A number, in digits or words such as "Rated 4", is
one on the recipe's scale, and never guessed to be of another.
"""

import math
import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reviews.corpora.json.values import NUMBER, STRING
from reviews.recipe import Labels
from reviews.record import ValuesSeen

_NUMERALS = frozenset("0123456789+-.eE")
_NOT_FINITE = frozenset(["nan", "inf", "infinity"])
_N = r"(\d{1,4}(?:\.\d{1,4}|,\d{1,2})?)"
_WORDS = r"[^\W\d]+[:.]?"
_OUT_OF = re.compile(  # English, German, Dutch, French, Spanish, Italian, Swedish, Polish
    rf"(?:{_WORDS}\s*){{0,2}}{_N}\s*(?:stars?)?\s*(?:/|out of|of|von|van|sur|de|su|av|z)\s*{_N}"
    rf"(?:\s*{_WORDS})?")
_OF_WHICH = re.compile(  # the highest first: Japanese, Turkish
    rf"{_N}\s*(?:つ星のうち|y[ıi]ld[ıi]z üzer[iı]nden)\s*{_N}")
_PERCENT = re.compile(rf"{_N}\s*%")
_ALONE = re.compile(
    rf"(?:rated|rating|score|stars?)?\s*:?\s*{_N}\s*"
    rf"(?:-?stars?|points?|★|⭐|星|\*)?(?:\s+rating)?")
_AND_A_HALF = re.compile(r"(\d{1,2})\s?½(?:\s*stars?)?")
_FILLED, _HOLLOW, _HALF, _NOTHING = "★⭐🌟✭✮", "☆✩✰", "½⯪⯨", "\ufe0f\ufe0e \t"


@dataclass(frozen=True)
class RatingScale:
    """The lowest and the highest rating, and whether texts other than a number carry one."""

    low: float = 1.0
    high: float = 5.0
    texts: bool = False

    @classmethod
    def of(cls, rules: Labels) -> "RatingScale":
        """The scale of the rules."""
        low, high = rules.rating_range
        return cls(low, high, rules.rating_texts)

    def read(self, text: str) -> float | None:
        """The rating that a string stands for, None if it is none; NaN counts as one."""
        found = plain_number(text)
        return self._read_text(text) if found is None and self.texts else found

    def _read_text(self, text: str) -> float | None:
        text = text.replace("\xa0", " ").strip().lower()
        stars = _stars(text)
        if stars is not None:
            filled, of = stars
            return filled if of is None else self._share(filled, of)
        if found := _OUT_OF.fullmatch(text):
            return self._share(_decimal(found[1]), _decimal(found[2]))
        if found := _OF_WHICH.fullmatch(text):
            return self._share(_decimal(found[2]), _decimal(found[1]))
        if found := _PERCENT.fullmatch(text):
            return self._share(_decimal(found[1]), 100)
        if found := _ALONE.fullmatch(text):
            return _decimal(found[1])
        if found := _AND_A_HALF.fullmatch(text):
            return float(found[1]) + 0.5
        return None

    def _share(self, value: float, of: float) -> float | None:
        """A rating that is `value` out of `of`; none above the scale it names."""
        return None if of <= 0 or value > of else max(self.low, value / of * self.high)


def plain_number(text: str) -> float | None:
    """The number that a string is, None if it is none."""
    text = text.strip(" \t\r\n")
    if text.lstrip("+-").lower() in _NOT_FINITE:
        return float("nan")
    if not _NUMERALS.issuperset(text):
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _decimal(digits: str) -> float:
    return float(digits.replace(",", "."))


def _stars(text: str) -> tuple[float, float | None] | None:
    """(filled stars, all stars or None where none is hollow), None for another text."""
    marks = [mark for mark in text if mark not in _NOTHING]
    if not marks or not all(mark in _FILLED + _HOLLOW + _HALF for mark in marks):
        return None
    halves = sum(mark in _HALF for mark in marks)
    hollow = sum(mark in _HOLLOW for mark in marks)
    filled = len(marks) - hollow - halves / 2
    return filled, len(marks) if hollow else None


def ratings_seen(
    kinds: NDArray[np.uint8], numbers: NDArray[np.float64], strings: pa.StringArray,
    scale: RatingScale,
) -> ValuesSeen:
    """Of the column of ratings (n)."""
    seen = [float(number) for number in np.unique(numbers[kinds == NUMBER])]
    texts = strings.filter(pa.array(kinds == STRING)).unique().to_pylist()
    read = [(text.strip(), scale.read(text)) for text in texts]
    seen += [rating for _, rating in read if rating is not None and not math.isnan(rating)]
    unread = [text for text, rating in read if rating is None and text]
    return ValuesSeen(min(seen, default=None), max(seen, default=None), min(unread, default=None))
