"""The way of a text: the texts that remain of a block, and the rules that the others fell to."""

import itertools
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reviews.recipe import Recipe
from reviews.text.tokenize_block import TokenizedBlock, tokenize, tokenize_block
from reviews.text.tokenizer import Tokenizer

TEXTS = ["good tea", "<br>", "", "!!!", "tea", "fine ! cup of tea", "?"]


def block_of(texts: list[str], recipe: Recipe) -> tuple[TokenizedBlock, Tokenizer]:
    tokenizer = Tokenizer(recipe.tokens)
    return tokenize_block(pa.array(texts, pa.string()), tokenizer, recipe), tokenizer


@pytest.mark.parametrize(("rules", "rows", "dropped"), [
    ({}, [0, 3, 4, 5, 6], {"no_words": 2, "too_few_words": 0}),
    ({"drop_marks_alone": True}, [0, 4, 5], {"no_words": 4, "too_few_words": 0}),
    ({"min_words": 2}, [0, 5], {"no_words": 2, "too_few_words": 3}),
    ({"min_words": 2, "drop_marks_alone": True}, [0, 5], {"no_words": 4, "too_few_words": 1}),
    ({"min_words": 4}, [5], {"no_words": 2, "too_few_words": 4}),
    ({"tokens": "words"}, [0, 4, 5], {"no_words": 4, "too_few_words": 0}),
    ({"html": False}, [0, 1, 3, 4, 5, 6], {"no_words": 1, "too_few_words": 0}),
])
def test_a_text_is_left_out_by_the_first_rule_that_it_falls_to(
    rules: dict[str, object], rows: list[int], dropped: dict[str, int]
) -> None:
    block, _ = block_of(TEXTS, Recipe.of(**rules))
    assert block.rows.tolist() == rows == np.flatnonzero(block.keep).tolist()
    assert block.dropped == dropped


def test_a_later_rule_counts_only_what_is_still_there() -> None:
    block, _ = block_of(TEXTS, Recipe.of(min_words=2))
    block.leave_out("neutral", np.array([True, True, False, True, False, False, False]))
    assert block.rows.tolist() == [5]
    assert block.dropped == {"no_words": 2, "too_few_words": 3, "neutral": 1}


def test_a_block_without_texts_has_none_left_and_none_dropped() -> None:
    block, _ = block_of([], Recipe.of(min_words=3, drop_marks_alone=True))
    assert block.rows.tolist() == []
    assert block.dropped == {"no_words": 0, "too_few_words": 0}


@given(st.lists(st.text(st.sampled_from("ab !?'<>\u00e9"), max_size=8)), st.integers(1, 3),
       st.booleans())
def test_what_remains_is_what_words_and_marks_counted_by_hand_say(
    texts: list[str], min_words: int, drop_marks_alone: bool
) -> None:
    recipe = Recipe.of(html=False, min_words=min_words, drop_marks_alone=drop_marks_alone)
    block, tokenizer = block_of(texts, recipe)
    spelled = tokenizer.table.words().to_pylist()
    starts = [0, *block.tokens.ends.tolist()]
    for row, (first, last) in enumerate(itertools.pairwise(starts)):
        tokens = [spelled[number] for number in block.tokens.ids[first:last]]
        words = [token for token in tokens if re.search(r"\w", token)]
        enough = len(words) >= min_words if min_words > 1 else True
        assert block.keep[row] == (bool(words if drop_marks_alone else tokens) and enough)
    assert len(block.rows) + sum(block.dropped.values()) == len(texts)


def test_tokens_alone_are_those_of_the_cleaned_texts() -> None:
    recipe = Recipe.of(min_words=9)
    block, _ = block_of(TEXTS, recipe)
    alone = tokenize(pa.array(TEXTS), Tokenizer(recipe.tokens), recipe)
    assert alone.ids.tolist() == block.tokens.ids.tolist()
    assert alone.ends.tolist() == block.tokens.ends.tolist()
