"""LSTM in both directions, pooled by attention (Yang et al. 2016, on the level of words)."""

import torch
from torch import Tensor, nn

from models.attention import AttentionConfig
from models.nets.bag import NgramView
from models.nets.embedding import Embedding
from models.nets.recurrent import Layers, Lstm, Staged
from models.options import ModelOptions


class BilstmAttention(Staged):
    """LSTM layers in both directions, whose outputs are averaged with weights that are learned."""

    turned_back = True  # the weights are those of places

    def __init__(self, options: ModelOptions[AttentionConfig]) -> None:
        super().__init__()
        self.options = options
        config = options.network
        width = 2 * config.hidden_dim
        self.embedding = Embedding(options.vocabulary_size, config.embedding_dim)
        self.layers = Layers(Lstm, config.embedding_dim, config.hidden_dim, config.layers, 2)
        self.attention = nn.Linear(width, width)
        self.context = nn.Parameter(torch.randn(width) * width**-0.5)
        self.output = nn.Linear(width, options.outputs)
        self.ngrams = NgramView(options) if config.ngrams else None

    def pool(self, x: Tensor, inside: Tensor, lengths: Tensor) -> Tensor:
        """Outputs (T, n, 2 H) to their weighted mean (n, 2 H)."""
        scores = torch.tanh(self.attention(x)) @ self.context  # (T, n)
        weights = scores.masked_fill(~inside, -torch.inf).softmax(0)
        return (weights[:, :, None] * x).sum(0)
