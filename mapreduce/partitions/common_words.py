"""Frequent words that all tasks of a run number alike, found in a sample of the input.

Each task of job 1 writes a parcel of rows for each partition. Without common words a parcel would
have a list of all words of its rows; few rows have nearly as many different words as many, so
that these lists would be most of the work where there are hundreds of partitions. With them a
list has the rare words alone. No result depends on what is common.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from reviews.corpora import InputSplit, raw_bytes, read_blocks
from reviews.errors import UserError
from reviews.recipe import Recipe
from reviews.text.subwords import tokenizer_for
from reviews.text.tokenize_block import tokenize
from reviews.vocabulary import most_frequent

Array = np.ndarray
MOST = 1 << 15  # so that an id of two bytes is left for as many others in a parcel
SAMPLE_BYTES = 8 << 20  # inflated
SAMPLE_PART = 64  # a larger part of the input than one in so many is not read twice
SAMPLE_SPLITS = 8
SAMPLE_ROWS = 1024  # of a block


@dataclass(frozen=True)
class CommonWords:
    """The words, of which word i has number i."""

    words: pa.Array

    @classmethod
    def read(cls, path: str | Path) -> "CommonWords":
        """From a file that `write` wrote; UserError for another one."""
        try:
            words = orjson.loads(Path(path).read_bytes())
        except (OSError, orjson.JSONDecodeError):
            words = None
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise UserError(f"{path}: no list of common words")
        return cls(pa.array(words, pa.string()))

    def write(self, path: Path) -> Path:
        """A file of the words."""
        path.write_bytes(self._bytes)
        return path

    @cached_property
    def _bytes(self) -> bytes:
        return orjson.dumps(self.words.to_pylist())

    @cached_property
    def name(self) -> str:
        """A short name that no other list has."""
        return hashlib.sha256(self._bytes).hexdigest()[:16]

    def check(self, name: str) -> None:
        """Raise UserError unless this is the list of that name."""
        if name != self.name:
            raise UserError("--common-words is not the list that job 1 had")

    def numbers(self, words: pa.Array) -> Array:
        """The numbers (n,) int32 of the words, -1 for those that are not common."""
        return np.asarray(pc.index_in(words, value_set=self.words).fill_null(-1), np.int32)


NO_COMMON_WORDS = CommonWords(pa.array([], pa.string()))


def sample_words(
    splits: Mapping[str, Sequence[InputSplit]], recipe: Recipe, tokenizer_file: Path | None = None
) -> CommonWords:
    """The most frequent words at the starts of a few splits, which are given by role.

    Words that occur once are left out: most of them are rare. A split that cannot be read is
    left to job 1, which says so.
    """
    every = [split for of_role in splits.values() for split in of_role]
    some = every[:: -(-len(every) // SAMPLE_SPLITS)]
    each = min(SAMPLE_BYTES, raw_bytes(every) // SAMPLE_PART) // len(some)
    tokenizer = tokenizer_for(recipe.tokens, tokenizer_file)
    counts = np.zeros(0, np.int64)
    for split in some:
        with contextlib.suppress(UserError):
            for texts in _first_texts(split, recipe, each):
                ids = tokenize(texts, tokenizer, recipe).ids
                found = np.bincount(ids, minlength=len(tokenizer.table))
                found[: len(counts)] += counts
                counts = found
    often = np.flatnonzero(counts > 1)
    words = tokenizer.table.words().take(pa.array(often))
    return CommonWords(pa.array(most_frequent(words, counts[often], MOST), pa.string()))


def _first_texts(split: InputSplit, recipe: Recipe, size: int) -> Iterator[pa.Array]:
    """The texts of the first `size` bytes of a split, and of the rest of the last block."""
    for block in read_blocks(split, recipe, SAMPLE_ROWS):
        if len(block.reviews):
            yield block.reviews["text"]
        size -= block.size
        if size <= 0:
            return
