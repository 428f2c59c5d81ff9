"""Vocabulary of a store: its words and their ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reviews.errors import UserError
from reviews.recipe import SPLITS

if TYPE_CHECKING:
    from reviews.text.word_table import WordTable

PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2
UNKNOWN_LIMIT = 0.2  # share of unknown words that a user is warned of


def most_frequent(words: pa.Array, counts: np.ndarray, size: int) -> list[str]:
    """The most frequent words, ties by UTF-8 bytes ascending: the order of vocabulary.txt."""
    table = pa.table({"word": words, "count": counts})
    order = pc.sort_indices(table, [("count", "descending"), ("word", "ascending")])
    chosen: list[str] = words.take(order[:size]).to_pylist()
    return chosen


def read_vocabulary(path: Path) -> list[str]:
    """The words of a vocabulary.txt; line i has id i + 2."""
    try:
        return path.read_text("utf-8").split("\n")[:-1]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the vocabulary {path}: {error}") from None


def given_vocabulary(path: Path) -> list[str]:
    """A vocabulary that a user gives, one word a line; a UserError names the line in the way."""
    words = read_vocabulary(path)
    lines: dict[str, int] = {}
    for number, word in enumerate(words, 1):
        if not word or word != word.strip():
            raise UserError(f"{path}:{number}: an empty word, or spaces around it")
        if word in lines:
            raise UserError(f"{path}:{number}: {word!r} stands in line {lines[word]} too")
        lines[word] = number
    if not words:
        raise UserError(f"{path}: no words; a line is a word, and the last one ends too")
    return words


@dataclass(frozen=True)
class Coding:
    """Coding of words as the ids of rows, with the special ids of a row."""

    words: pa.Array  # of vocabulary.txt
    first: int = FIRST_WORD  # id of the first of them
    padding: int = PADDING
    unknown: int = UNKNOWN
    prefix: tuple[int, ...] = ()  # ids before every review
    suffix: tuple[int, ...] = ()  # and after it

    @property
    def size(self) -> int:
        """Number of ids."""
        return len(self.words) + self.first

    @property
    def dtype(self) -> np.dtype:
        """Data type of the ids."""
        return id_type(self.size - FIRST_WORD)

    def numbers(self, words: pa.Array) -> np.ndarray:
        """Ids (n,) int32 of the words, by a table of the vocabulary that is made once."""
        found = self._table.find(words)
        return np.where(found < 0, self.unknown, found + self.first).astype(np.int32)

    @cached_property
    def _table(self) -> "WordTable":
        from reviews.text.word_table import WordTable  # compiled; training needs none of it

        table = WordTable()
        table.intern(self.words)
        return table


def id_type(words: int) -> np.dtype:
    """The smallest of uint16 and uint32 that holds the ids of so many words."""
    return np.dtype(np.uint16 if words + FIRST_WORD <= 1 << 16 else np.uint32)


def unknown_warning(unknown: int, words: int, of: str) -> str | None:
    """A warning where too many of so many words are unknown; `of` says whose words they are."""
    if unknown <= UNKNOWN_LIMIT * words:
        return None
    return (f"{unknown / words:.1%} of the words of {of} are not in the vocabulary: a script "
            "without spaces wants --unspaced-characters, other texts a larger --vocabulary-size "
            "or more training reviews")


def store_warning(manifest: Mapping[str, Any], splits: Sequence[str] = SPLITS) -> str | None:
    """The same of the split of a store's manifest that has the largest share of unknown words."""
    entries = [(name, manifest["splits"].get(name, {})) for name in splits]
    counted = [(name, entry.get("unknown_words", 0), max(1, entry.get("words", 0)))
               for name, entry in entries]
    worst, unknown, words = max(counted, key=lambda split: split[1] / split[2])
    return unknown_warning(unknown, words, f"the {worst} split")
