"""The way of a text from raw to tokens: cleaned, tokenized, left out where it has too few words."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from reviews.recipe import Recipe
from reviews.text.cleaning import clean
from reviews.text.subwords import Subwords
from reviews.text.tokenizer import Tokenizer, Tokens

Array = np.ndarray


@dataclass
class TokenizedBlock:
    """Tokens of all n texts of a block, in its order, and the texts that remain.

    A text that is left out is counted by the first rule that leaves it out.
    """

    tokens: Tokens
    keep: Array  # (n,) bool
    dropped: dict[str, int]  # number of texts by rule

    def leave_out(self, rule: str, texts: Array) -> None:
        """Drop texts (n,) bool by a rule; those that are dropped already count no more."""
        texts = texts & self.keep
        self.dropped[rule] = int(texts.sum())
        self.keep &= ~texts

    @property
    def rows(self) -> Array:
        """The texts that remain (k,) int64, as positions in the block."""
        return np.flatnonzero(self.keep)


def tokenize(texts: pa.Array, tokenizer: Tokenizer | Subwords, recipe: Recipe) -> Tokens:
    """Clean and tokenize texts (n, no nulls)."""
    return tokenizer.tokenize(clean(texts, recipe.cleaning))


def tokenize_block(
    texts: pa.Array, tokenizer: Tokenizer | Subwords, recipe: Recipe
) -> TokenizedBlock:
    """Clean and tokenize texts (n, no nulls), and leave out those without words enough:

    no_words: texts without any token; with `drop_marks_alone`, those of marks alone too.
    too_few_words: texts of fewer words than `min_words`; marks are no words.
    """
    tokens, rules = tokenize(texts, tokenizer, recipe), recipe.tokens
    block = TokenizedBlock(tokens, np.ones(len(tokens.ends), bool), {})
    counts_words = rules.drop_marks_alone or rules.min_words > 1
    words = _words(tokens, tokenizer) if counts_words else np.diff(tokens.ends, prepend=0)
    anything = words if rules.drop_marks_alone else np.diff(tokens.ends, prepend=0)
    block.leave_out("no_words", anything == 0)
    # With one word wanted, a text of marks alone stays where the rule above lets it.
    block.leave_out("too_few_words", (words < rules.min_words) & (rules.min_words > 1))
    return block


def _words(tokens: Tokens, tokenizer: Tokenizer | Subwords) -> Array:
    """The number (n,) of words of each text, without marks."""
    marks = tokenizer.marks()  # which may be new to the table
    is_mark = np.zeros(len(tokenizer.table), bool)
    is_mark[marks] = True
    before = np.concatenate([[0], np.cumsum(~is_mark[tokens.ids])])
    return np.diff(before[tokens.ends], prepend=0)
