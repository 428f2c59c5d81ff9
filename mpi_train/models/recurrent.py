"""LSTM and GRU over padded reviews, masked by length: padding is never read.

Tensors inside are time-major, (T, n, D): the layout of the fused recurrent kernels.
"""

from typing import Any

import torch
from torch import Tensor, nn

from mpi_train.models.dropout import Draws
from mpi_train.models.embedding import Embedding
from mpi_train.models.options import ModelOptions

# Places in the model at which random numbers are drawn; layer i drops its input at 1 + i.
_WORDS, _LAYERS, _POOLED = 0, 1, 1 << 16


class Recurrent(nn.Module):
    """Embedding, recurrent layers, pooling over the real length, one logit.

    Layers are modules of one layer each, so that dropout between them is ours (locked: one
    mask per review, the same at every word). A bidirectional layer is two modules, the second
    over the reviews reversed by their own length.
    """

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        self.options = options
        self.embedding = Embedding(options.vocabulary_size, options.embedding_dim)
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[options.model]
        directions = 2 if options.bidirectional else 1
        width = options.hidden_dim * directions
        self.layers = nn.ModuleList(
            nn.ModuleList(
                kind(options.embedding_dim if layer == 0 else width, options.hidden_dim)
                for _ in range(directions)
            )
            for layer in range(options.layers)
        )
        self.output = nn.Linear(width * (2 if options.pooling == "mean+max" else 1), 1)

    def forward(self, tokens: Tensor, lengths: Tensor, draws: Draws | None = None) -> Tensor:
        """Logits (n,) that the reviews are positive.

        Args:
            tokens: (n, T) int32 or int64; what lies behind a review's length is not read.
            lengths: (n,) int64, 1 to T.
            draws: random numbers of these reviews; None switches dropout off.
        """
        options = self.options
        steps = torch.arange(tokens.shape[1], device=tokens.device)  # (T,)
        inside = steps[:, None] < lengths  # (T, n)
        if draws is not None and options.word_dropout > 0:
            dropped = draws.dropped(_WORDS, tokens.shape[1], options.word_dropout)
            tokens = tokens.masked_fill(dropped, options.unknown)
        x = self.embedding(tokens.t().contiguous().masked_fill(~inside, options.padding))
        turn = _reversal(inside, lengths) if options.bidirectional else None
        for layer, directions in enumerate(self.layers):
            x = self._drop(x, draws, _LAYERS + layer)
            outputs = [directions[0](x)[0]]  # (T, n, H)
            if turn is not None:
                backwards = directions[1](_Permute.apply(x, turn))[0]
                if layer + 1 < len(self.layers):
                    backwards = _Permute.apply(backwards, turn)
                outputs.append(backwards)
            x = torch.cat(outputs, 2) if len(outputs) > 1 else outputs[0]
        pooled = self._drop(self._pool(x, inside, lengths), draws, _POOLED)  # (n, F)
        return self.output(pooled).squeeze(1)

    def _drop(self, x: Tensor, draws: Draws | None, place: int) -> Tensor:
        """Locked dropout: one factor per review and channel of x (..., n, D)."""
        if draws is None or self.options.dropout == 0:
            return x
        return x * draws.scale(place, x.shape[-1], self.options.dropout, x.dtype)

    def _pool(self, x: Tensor, inside: Tensor, lengths: Tensor) -> Tensor:
        """(T, n, W) to (n, W) or, for mean+max, (n, 2 W).

        The second direction of the last layer is still reversed: its word at length - 1 is the
        review's first, by then it has read everything; mean and max do not care.
        """
        n = x.shape[1]
        if self.options.pooling == "last":
            rows = (lengths - 1) * n + torch.arange(n, device=x.device)
            return x.flatten(0, 1).index_select(0, rows)
        outside = ~inside[:, :, None]
        highest = x.masked_fill(outside, -torch.inf).max(0).values
        if self.options.pooling == "max":
            return highest
        mean = x.masked_fill(outside, 0).sum(0) / lengths[:, None]
        return torch.cat([mean, highest], 1)


def _reversal(inside: Tensor, lengths: Tensor) -> Tensor:
    """Row numbers (T * n,) that reverse every review by its own length and leave padding."""
    steps, n = inside.shape
    t = torch.arange(steps, device=inside.device)[:, None]
    source = torch.where(inside, lengths - 1 - t, t)  # (T, n)
    return (source * n + torch.arange(n, device=inside.device)).flatten()


class _Permute(torch.autograd.Function):
    """x (T, n, D) with its T * n rows reordered by a permutation that undoes itself.

    The backward pass is then the same gather, where index_select would scatter.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        return x.flatten(0, 1).index_select(0, rows).view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        gradient = gradients[0]
        return gradient.flatten(0, 1).index_select(0, rows).view_as(gradient), None
