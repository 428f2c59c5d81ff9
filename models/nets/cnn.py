"""Convolutions of several widths over the words, and the maximum of each (Kim 2014)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.cnn import CnnConfig
from models.nets.dropout import LAYERS, POOLED, DropoutRandom, drop, drop_words
from models.nets.embedding import Embedding
from models.options import ModelOptions


class Cnn(nn.Module):
    """Embedding, one convolution for each width, maximum over the real length, logits."""

    def __init__(self, options: ModelOptions[CnnConfig]) -> None:
        super().__init__()
        self.options = options
        config = options.network
        self.embedding = Embedding(options.vocabulary_size, config.embedding_dim)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(config.embedding_dim, config.filters, width) for width in config.widths
        )
        self.output = nn.Linear(config.filters * len(config.widths), options.outputs)

    def forward(
        self, tokens: Tensor, lengths: Tensor, draws: DropoutRandom | None = None
    ) -> Tensor:
        """Logits (n,) or (n, C); arguments as those of Recurrent."""
        options = self.options
        config = options.network
        steps = torch.arange(tokens.shape[1], device=tokens.device)
        inside = steps < lengths[:, None]  # (n, T)
        tokens = drop_words(tokens, draws, config.word_dropout, options.unknown)
        vectors = self.embedding(tokens.masked_fill(~inside, options.padding))  # (n, T, E)
        # Behind the end there are zeros, as before the beginning: padding is never read.
        vectors = vectors.masked_fill(~inside[:, :, None], 0).transpose(0, 1)
        x = drop(vectors, draws, LAYERS, config.dropout).permute(1, 2, 0)  # (n, E, T)
        highest = []
        for width, convolution in zip(config.widths, self.convolutions, strict=True):
            padded = functional.pad(x, ((width - 1) // 2, width // 2))
            found = convolution(padded).relu().masked_fill(~inside[:, None], 0)  # (n, F, T)
            highest.append(found.max(2).values)
        pooled = drop(torch.cat(highest, 1), draws, POOLED, config.dropout)
        return self.output(pooled).squeeze(1)
