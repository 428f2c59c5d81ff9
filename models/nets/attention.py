"""LSTM in both directions, pooled by attention (Yang et al. 2016, on the level of words)."""

import torch
from torch import Tensor, nn

from models.nets.bag import NgramView
from models.nets.dropout import POOLED, DropoutRandom, drop
from models.nets.embedding import Embedding
from models.nets.recurrent import Layers, inside_mask, word_vectors
from models.options import ModelOptions


class BilstmAttention(nn.Module):
    """Embedding, LSTM layers, the outputs averaged with weights that are learned, logits."""

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        self.options = options
        width = 2 * options.hidden_dim
        self.embedding = Embedding(options.vocabulary_size, options.embedding_dim)
        self.layers = Layers(nn.LSTM, options.embedding_dim, options.hidden_dim, options.layers, 2)
        self.attention = nn.Linear(width, width)
        self.context = nn.Parameter(torch.randn(width) * width**-0.5)
        self.output = nn.Linear(width, options.outputs)
        self.ngrams = NgramView(options) if options.ngrams else None

    def forward(
        self, tokens: Tensor, lengths: Tensor, draws: DropoutRandom | None = None
    ) -> Tensor:
        """Logits (n,) or (n, C); arguments as those of Recurrent."""
        inside, dropout = inside_mask(tokens, lengths), self.options.dropout
        x = word_vectors(self.embedding, tokens, inside, draws, self.options)
        x = self.layers(x, inside, lengths, draws, dropout, turned_back=True)  # (T, n, 2 H)
        scores = torch.tanh(self.attention(x)) @ self.context  # (T, n)
        weights = scores.masked_fill(~inside, -torch.inf).softmax(0)
        pooled = drop((weights[:, :, None] * x).sum(0), draws, POOLED, dropout)  # (n, 2 H)
        logits = self.output(pooled)
        if self.ngrams is not None:
            logits = self.ngrams(logits, tokens, lengths, draws)
        return logits.squeeze(1)
