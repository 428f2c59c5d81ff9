"""Raw labelled files straight to token rows, by the rules of a trained model's recipe."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from reviews.corpora import plan_splits, read_blocks
from reviews.features import Encoding, feature_columns
from reviews.labels import NO_LABEL, settle_labels
from reviews.recipe import Recipe
from reviews.text.sequences import Ragged, cut
from reviews.text.subwords import Subwords, tokenizer_for
from reviews.text.tokenize_block import tokenize_block
from reviews.text.tokenizer import Tokenizer
from reviews.vocabulary import Coding

Array = np.ndarray


@dataclass(frozen=True)
class Encoded:
    """Rows ready for a model, and how many records of the block are not among them."""

    tokens: Array  # (n, L) uint16 or uint32
    length: Array  # (n,) uint16
    label: Array  # (n,) uint8
    rating: Array  # (n,) float32, NaN when there is none
    dropped: dict[str, int]
    bad: dict[str, int]
    words: int  # before the cut at L
    unknown: int  # of these, those that are not in the vocabulary
    features: Array | None = None  # (n, F) float32 where the recipe names some


def encode_files(
    inputs: Sequence[str], recipe: Recipe, vocabulary: Sequence[str],
    features: Encoding | None = None, tokenizer_json: Path | None = None,
) -> Iterator[Encoded]:
    """Encode files block by block; nothing is de-duplicated, sampled or split.

    `features` is the encoding of the recipe's features, as the training store's manifest has it;
    `tokenizer_json` the store's copy of a tokenizer that the recipe names.
    """
    for split in plan_splits(inputs, recipe):
        tokenizer = tokenizer_for(recipe.tokens, tokenizer_json)
        if isinstance(tokenizer, Subwords):
            coding = tokenizer.coding
        else:
            coding = Coding(pa.array(vocabulary, pa.string()))
        for block in read_blocks(split, recipe):
            if len(tokenizer.table) > 1 << 20:
                tokenizer.restart()
            encoded = encode_block(
                block.reviews, block.bad, recipe, tokenizer, coding, features)
            encoded.dropped.update(block.dropped)
            yield encoded


def encode_block(
    reviews: pa.RecordBatch, bad: dict[str, int], recipe: Recipe,
    tokenizer: Tokenizer | Subwords, coding: Coding, features: Encoding | None = None,
) -> Encoded:
    """Encode the reviews of one block; `bad` is passed on."""
    texts = tokenize_block(reviews["text"], tokenizer, recipe)
    label, rating = settle_labels(reviews["label"], reviews["rating"], recipe.labels)
    texts.leave_out("neutral", label == NO_LABEL)
    rows, tokens = texts.rows, texts.tokens
    kept = Ragged.of(tokens.ids, tokens.ends).take(rows)
    numbers = coding.numbers(tokenizer.table.words())
    rules = recipe.encoding
    out, length, unknown = cut(kept, numbers, rules.length, rules.keep, coding)
    encoded = Encoded(out, length, label[rows], rating[rows], texts.dropped, bad,
                      int(kept.size.sum()), unknown)
    if features is None:
        return encoded
    columns = [reviews[name].take(pa.array(rows)) for name in feature_columns(recipe.input)]
    return replace(encoded, features=features.encode(columns))

