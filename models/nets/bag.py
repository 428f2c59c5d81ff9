"""The mean of the vectors of a review's words and hashed n-grams (Joulin et al. 2016, fastText).

The table has millions of rows, of which an update touches some thousands. Its gradient is
therefore kept as the rows touched and their values, from the backward pass over the exchange
with other ranks to the optimizer.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.bag import BagConfig
from models.nets.dropout import (
    GOLDEN,
    NGRAMS,
    POOLED,
    DropoutRandom,
    drop,
    drop_words,
    mix,
    shift_right,
)
from models.options import ModelOptions, NgramsBeside


class Table(nn.Module):
    """Vectors (R, D) whose gradient is collected in `parts`: pairs of unique rows and values."""

    def __init__(self, rows: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(rows, dim).uniform_(-1 / dim, 1 / dim))
        self.parts: list[tuple[Tensor, Tensor]] = []

    def forward(self, ids: Tensor, counts: Tensor) -> Tensor:
        """Means (n, D) over ids (N,), of which review i has the next counts[i]."""
        return _Mean.apply(self.weight, ids, counts, self)


def sum_rows(rows: Tensor, sources: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Sum values[sources[i]] over all i with the same rows[i].

    This is a bag too: for each row, the values that it gets. Sorting makes the sum's order,
    and so its rounding, a function of the arguments alone.

    Args:
        rows: (N,) int64.
        sources: (N,) int64, indices into values.
        values: (n, D).

    Returns:
        The different rows (k,), ascending, and their sums (k, D).
    """
    # Half as wide numbers sort twice as fast, and no table has 2^31 rows.
    ordered, order = torch.sort(rows.int(), stable=True)
    unique, counts = torch.unique_consecutive(ordered, return_counts=True)
    unique = unique.long()
    if not len(unique):
        return unique, values.new_zeros(0, values.shape[1])
    return unique, functional.embedding_bag(
        sources.index_select(0, order), values, counts.cumsum(0) - counts, mode="sum")


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor, counts: Tensor, table: Table) -> Tensor:
        ctx.table = table
        ctx.save_for_backward(ids, counts)
        return functional.embedding_bag(ids, weight, counts.cumsum(0) - counts, mode="mean")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None, None]:
        ids, counts = ctx.saved_tensors
        reviews = torch.arange(len(counts), device=ids.device).repeat_interleave(counts)
        ctx.table.parts.append(sum_rows(ids, reviews, gradients[0] / counts[:, None]))
        return None, None, None, None


class NgramTable(Table):
    """The mean of the vectors of a review's words and n-grams.

    Rows 0 to V - 1 of the table are the words; n-grams are hashed into the rows behind.
    """

    def __init__(self, words: int, ngrams: int, buckets: int, dim: int) -> None:
        super().__init__(words + (buckets if ngrams > 1 else 0), dim)
        self._words, self._ngrams, self._buckets = words, ngrams, buckets

    def mean(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Means (n, D) of reviews: tokens (n, T) of which the first lengths[i] (n,) are real."""
        return self(*self.ids(tokens.long(), lengths))

    def ids(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the table (N,), review after review, and the number of each review's (n,)."""
        width = tokens.shape[1]
        steps = torch.arange(width, device=tokens.device)
        ids, inside = [tokens], [steps < lengths[:, None]]
        key, counts = tokens, lengths
        for order in range(2, min(self._ngrams, width) + 1):
            # The hash of an n-gram is that of its first words, mixed with its last.
            key = mix(key[:, :-1] * GOLDEN + tokens[:, order - 1 :])
            ids.append(self._words + shift_right(key, 33) % self._buckets)
            inside.append(inside[0][:, order - 1 :])
            counts = counts + (lengths - (order - 1)).clamp(min=0)
        return torch.cat(ids, 1).masked_select(torch.cat(inside, 1)), counts


class Bag(nn.Module):
    """A table of word and n-gram vectors, their mean, logits."""

    def __init__(self, options: ModelOptions[BagConfig]) -> None:
        super().__init__()
        self.options = options
        config = options.network
        self.table = NgramTable(options.vocabulary_size, config.ngrams, config.buckets,
                                config.embedding_dim)
        self.output = nn.Linear(config.embedding_dim, options.outputs)

    def forward(
        self, tokens: Tensor, lengths: Tensor, draws: DropoutRandom | None = None
    ) -> Tensor:
        """Logits (n,) or (n, C); arguments as those of Recurrent."""
        options = self.options
        config = options.network
        tokens = drop_words(tokens, draws, config.word_dropout, options.unknown)
        pooled = self.table.mean(tokens, lengths)
        return self.output(drop(pooled, draws, POOLED, config.dropout)).squeeze(1)


class NgramView(nn.Module):
    """A bag of n-grams beside a model that reads in order: two views of the same review.

    Each view is trained to be right by itself, and the mean of their logits is the model's. If
    only the sum had to be right, the bag, which soon knows its training reviews by heart, would
    leave the other nothing to learn.
    """

    def __init__(self, options: ModelOptions[NgramsBeside]) -> None:
        super().__init__()
        config = options.network
        self._dropout = config.dropout
        self.table = NgramTable(options.vocabulary_size, config.ngrams, config.buckets,
                                config.ngram_dim)
        self.output = nn.Linear(config.ngram_dim, options.outputs)

    def forward(
        self, logits: Tensor, tokens: Tensor, lengths: Tensor, draws: DropoutRandom | None
    ) -> Tensor:
        """Join the other view's logits (n, C) with those of the n-grams.

        Returns their mean (n, C), or in training both, one below the other (2 n, C).
        """
        pooled = drop(self.table.mean(tokens, lengths), draws, NGRAMS, self._dropout)
        own = self.output(pooled)
        return (logits + own) / 2 if draws is None else torch.cat([logits, own])
