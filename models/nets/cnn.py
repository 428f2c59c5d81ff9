"""Convolutions of several widths over the words, and the maximum of each (Kim 2014)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.dropout import LAYERS, POOLED, DropoutRandom, drop, drop_words
from models.nets.embedding import Embedding
from models.options import ModelOptions


class Cnn(nn.Module):
    """Embedding, one convolution for each width, maximum over the real length, logits."""

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        self.options = options
        self.embedding = Embedding(options.vocabulary_size, options.embedding_dim)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(options.embedding_dim, options.filters, width) for width in options.widths
        )
        self.output = nn.Linear(options.filters * len(options.widths), options.outputs)

    def forward(
        self, tokens: Tensor, lengths: Tensor, draws: DropoutRandom | None = None
    ) -> Tensor:
        """Logits (n,) or (n, C); arguments as those of Recurrent."""
        options = self.options
        steps = torch.arange(tokens.shape[1], device=tokens.device)
        inside = steps < lengths[:, None]  # (n, T)
        tokens = drop_words(tokens, draws, options.word_dropout, options.unknown)
        vectors = self.embedding(tokens.masked_fill(~inside, options.padding))  # (n, T, E)
        # Behind the end there are zeros, as before the beginning: padding is never read.
        vectors = vectors.masked_fill(~inside[:, :, None], 0).transpose(0, 1)
        x = drop(vectors, draws, LAYERS, options.dropout).permute(1, 2, 0)  # (n, E, T)
        highest = []
        for width, convolution in zip(options.widths, self.convolutions, strict=True):
            padded = functional.pad(x, ((width - 1) // 2, width // 2))
            found = convolution(padded).relu().masked_fill(~inside[:, None], 0)  # (n, F, T)
            highest.append(found.max(2).values)
        pooled = drop(torch.cat(highest, 1), draws, POOLED, options.dropout)
        return self.output(pooled).squeeze(1)
