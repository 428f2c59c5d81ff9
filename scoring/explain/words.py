"""Words of a text that moved its probability: the text is scored without each of them."""

import re
from typing import NamedTuple

import numpy as np

Array = np.ndarray
MOST_WORDS = 300  # words of a text that are tried, its first ones
_WORD = re.compile(r"\S+")


class Span(NamedTuple):
    """A word between spaces: text[start:end]."""

    start: int
    end: int


def words_of(text: str) -> list[Span]:
    """The first words of a text, at most MOST_WORDS."""
    spans = (Span(*match.span()) for match in _WORD.finditer(text))
    return [span for span, _ in zip(spans, range(MOST_WORDS), strict=False)]


def without_each(text: str, words: list[Span]) -> list[str]:
    """The text, and then the text without each of the words."""
    return [text, *(text[: word.start] + text[word.end :] for word in words)]


def effects(probabilities: Array) -> Array:
    """Effect of each word (n,): the rise of the probability of the last of two classes, or of
    the most probable of several; from probabilities (1 + n, classes) of `without_each`."""
    classes = probabilities.shape[1]
    watched = classes - 1 if classes == 2 else int(probabilities[0].argmax())
    moved: Array = probabilities[0, watched] - probabilities[1:, watched]
    return moved
