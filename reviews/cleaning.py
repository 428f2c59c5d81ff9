"""Texts as they were written -> texts as the tokenizer gets them, by the recipe's rules."""

import numpy as np
import pyarrow as pa

from reviews.html import clean_html
from reviews.recipe import Recipe
from reviews.tokenizer import MARKS, Tokenizer, Tokens

Array = np.ndarray


def clean(texts: pa.Array, recipe: Recipe) -> pa.Array:
    """The texts (no nulls), cleaned by the rules that the recipe has switched on."""
    if recipe.html:
        texts = clean_html(texts)
    return texts


def too_short(tokens: Tokens, tokenizer: Tokenizer, recipe: Recipe) -> Array:
    """Which texts (n,) bool have fewer words than the recipe wants; marks are no words."""
    if recipe.min_words == 1:  # a text without any token is dropped as such
        return np.zeros(len(tokens.ends), bool)
    marks = tokenizer.table.intern(pa.array(list(MARKS), pa.string()))
    is_mark = np.zeros(len(tokenizer.table), bool)
    is_mark[marks] = True
    before = np.concatenate([[0], np.cumsum(~is_mark[tokens.ids])])
    words = np.diff(before[tokens.ends], prepend=0)
    return np.asarray(words < recipe.min_words)
