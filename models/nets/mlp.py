"""Layers over the numbers that a store has beside the text, alone or joined to the text."""

import torch
from torch import Tensor, nn

from models.nets.bag import NgramTable
from models.nets.dropout import LAYERS, NGRAMS, DropoutRandom, drop
from models.options import ModelOptions


class Mlp(nn.Module):
    """Features, and with n-grams the mean of the text's vectors; hidden layers; logits."""

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        self.options = options
        self.table = NgramTable(
            options.vocabulary_size, options.ngrams, options.buckets, options.ngram_dim,
        ) if options.ngrams else None
        widths = [options.features + (options.ngram_dim if options.ngrams else 0),
                  *[options.hidden_dim] * options.layers]
        self.layers = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))
        self.output = nn.Linear(widths[-1], options.outputs)

    def forward(
        self, tokens: Tensor, lengths: Tensor, features: Tensor, draws: DropoutRandom | None = None
    ) -> Tensor:
        """Logits (n,) or (n, C); features (n, F), the other arguments as those of Recurrent."""
        dropout = self.options.dropout
        x = features.to(self.output.weight.dtype)
        if self.table is not None:
            text = drop(self.table.mean(tokens, lengths), draws, NGRAMS, dropout)
            x = torch.cat([x, text], 1)
        for number, layer in enumerate(self.layers):
            x = drop(layer(x).relu(), draws, LAYERS + number, dropout)
        return self.output(x).squeeze(1)
