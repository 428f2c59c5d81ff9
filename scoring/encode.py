"""Texts -> rows of token ids, by the recipe of a model; no text is left out."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from models.records import options_of
from reviews.bundle import Bundle
from reviews.errors import UserError
from reviews.text.sequences import Ragged, cut
from reviews.text.subwords import Subwords, tokenizer_for
from reviews.text.tokenize_block import tokenize
from reviews.text.tokenizer import Tokenizer
from reviews.vocabulary import Coding

Array = np.ndarray
NEW_WORDS = 1 << 18  # words outside of the vocabulary that are kept before all are forgotten


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
    """Encodes texts; of one thread, since it learns the words it sees.

    A text without words becomes one unknown word.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._recipe = bundle.recipe
        self._tokenizer = tokenizer_for(bundle.recipe.tokens, bundle.tokenizer_file)
        if isinstance(self._tokenizer, Subwords):
            self.coding = self._tokenizer.coding
            self._numbers = self.coding.numbers(self._tokenizer.table.words())
            self._most = len(self._numbers)  # nothing is learned
        else:
            self.coding = Coding(pa.array(bundle.vocabulary, pa.string()))
            self._begin()
        ids, size = self._numbers.max(initial=0), options_of(bundle).vocabulary_size
        if ids >= size:  # a kernel would read past its tables
            raise UserError(f"{bundle.path}: the vocabulary has more words than the model's {size}")

    def _begin(self) -> None:
        """Put the vocabulary first into the table of words, so that all others are unknown."""
        assert isinstance(self._tokenizer, Tokenizer)
        self._tokenizer.restart()
        ids = self._tokenizer.table.intern(self.coding.words)
        known = len(self._tokenizer.table)
        self._most = known + NEW_WORDS
        self._numbers = np.full(2 * known + 1024, self.coding.unknown, np.int32)
        self._numbers[ids] = np.arange(len(ids)) + self.coding.first

    def encode(self, texts: pa.Array) -> EncodedTexts:
        """Rows of the texts (n, no nulls, valid UTF-8)."""
        if len(self._tokenizer.table) > self._most:
            self._begin()
        tokens = tokenize(texts, self._tokenizer, self._recipe)
        if len(self._tokenizer.table) > len(self._numbers):
            more = np.full(len(self._tokenizer.table), self.coding.unknown, np.int32)
            self._numbers = np.concatenate([self._numbers, more])
        words = Ragged.of(tokens.ids, tokens.ends)
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
