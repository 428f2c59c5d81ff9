"""Texts -> rows of token ids, by the recipe of a model; no text is left out."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from models.records import options_of
from reviews.bundle import Bundle
from reviews.errors import UserError
from reviews.text.cleaning import clean
from reviews.text.sequences import Ragged, cut
from reviews.text.subwords import Subwords, tokenizer_for
from reviews.vocabulary import Coding

Array = np.ndarray


@dataclass(frozen=True)
class EncodedTexts:
    """Rows that a model reads, and what became of the texts."""

    tokens: Array  # (n, L) uint16 or uint32, right-padded
    lengths: Array  # (n,) int32, 1 to L
    n_words: Array  # (n,) int32, words of the text
    n_cut: Array  # (n,) int32, words of it that the model does not read

    def take(self, rows: Array | slice) -> "EncodedTexts":
        """The chosen rows."""
        return EncodedTexts(
            self.tokens[rows], self.lengths[rows], self.n_words[rows], self.n_cut[rows])


class TextEncoder:
    """Encodes texts; any thread may call it.

    A text without words becomes one unknown word.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._recipe = bundle.recipe
        self._tokenizer = tokenizer_for(bundle.recipe.tokens, bundle.tokenizer_file)
        if isinstance(self._tokenizer, Subwords):
            self.coding = self._tokenizer.coding
            self._numbers = self.coding.numbers(self._tokenizer.table.words())
        else:
            self.coding = Coding(pa.array(bundle.vocabulary, pa.string()))
            ids = self._tokenizer.table.intern(self.coding.words)
            # Stop words that the vocabulary has not, and, as the last, all that the table has not.
            self._numbers = np.full(
                len(self._tokenizer.table) + 1, self.coding.unknown, np.int32)
            self._numbers[ids] = np.arange(len(ids)) + self.coding.first
        ids, size = self._numbers.max(initial=0), options_of(bundle).vocabulary_size
        if ids >= size:  # a kernel would read past its tables
            raise UserError(f"{bundle.path}: the vocabulary has more words than the model's {size}")

    def encode(self, texts: pa.Array) -> EncodedTexts:
        """Rows of the texts (n, no nulls, valid UTF-8)."""
        cleaned = clean(texts, self._recipe.cleaning)
        words = Ragged.of(*self._tokenizer.find(cleaned))
        rules = self._recipe.encoding
        rows, kept, _ = cut(words, self._numbers, rules.length, rules.keep, self.coding)
        lengths = kept.astype(np.int32)
        around = len(self.coding.prefix) + len(self.coding.suffix)
        cut_off = words.size - (lengths - around)
        if not lengths.all():
            empty = lengths == 0
            rows[empty, 0] = self.coding.unknown
            lengths[empty] = 1
        return EncodedTexts(rows, lengths, words.size, cut_off)
