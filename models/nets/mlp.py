"""Layers over the numbers that a store has beside the text, alone or joined to the text."""

import torch
from torch import Tensor, nn

from models.mlp import MlpConfig
from models.nets.bag import NgramTable
from models.nets.dropout import LAYERS, NGRAMS, DropoutRandom, drop
from models.options import ModelOptions


class Mlp(nn.Module):
    """Features, and with n-grams the mean of the text's vectors; hidden layers; logits."""

    def __init__(self, options: ModelOptions[MlpConfig]) -> None:
        super().__init__()
        self.options = options
        config = options.network
        self.table = NgramTable(
            options.vocabulary_size, config.ngrams, config.buckets, config.ngram_dim,
        ) if config.ngrams else None
        widths = [options.features + (config.ngram_dim if config.ngrams else 0),
                  *[config.hidden_dim] * config.layers]
        self.layers = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))
        self.output = nn.Linear(widths[-1], options.outputs)

    def forward(
        self, tokens: Tensor, lengths: Tensor, features: Tensor, draws: DropoutRandom | None = None
    ) -> Tensor:
        """Logits (n,) or (n, C); features (n, F), the other arguments as those of Recurrent."""
        dropout = self.options.network.dropout
        x = features.to(self.output.weight.dtype)
        if self.table is not None:
            text = drop(self.table.mean(tokens, lengths), draws, NGRAMS, dropout)
            x = torch.cat([x, text], 1)
        for number, layer in enumerate(self.layers):
            x = drop(layer(x).relu(), draws, LAYERS + number, dropout)
        return self.output(x).squeeze(1)
