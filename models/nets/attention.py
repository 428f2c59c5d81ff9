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
        inside = inside_mask(tokens, lengths)
        x = self.embed(tokens, inside, draws)
        return self.read(self.recur(x, inside, lengths, draws), inside, tokens, lengths, draws)

    def embed(self, tokens: Tensor, inside: Tensor, draws: DropoutRandom | None) -> Tensor:
        """First stage: word vectors (T, n, E), with `inside` of `inside_mask`."""
        return word_vectors(self.embedding, tokens, inside, draws, self.options)

    def recur(
        self, x: Tensor, inside: Tensor, lengths: Tensor, draws: DropoutRandom | None
    ) -> Tensor:
        """Second stage: outputs (T, n, 2 H) of the layers."""
        outputs: Tensor = self.layers(
            x, inside, lengths, draws, self.options.dropout, turned_back=True)
        return outputs

    def read(
        self, x: Tensor, inside: Tensor, tokens: Tensor, lengths: Tensor,
        draws: DropoutRandom | None,
    ) -> Tensor:
        """Third stage: logits of outputs x (T, n, 2 H)."""
        scores = torch.tanh(self.attention(x)) @ self.context  # (T, n)
        weights = scores.masked_fill(~inside, -torch.inf).softmax(0)
        pooled = drop((weights[:, :, None] * x).sum(0), draws, POOLED, self.options.dropout)
        logits = self.output(pooled)  # of (n, 2 H)
        if self.ngrams is not None:
            logits = self.ngrams(logits, tokens, lengths, draws)
        return logits.squeeze(1)
