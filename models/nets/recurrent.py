"""LSTM and GRU over padded reviews, masked by length: padding is never read.

Tensors inside are time-major, (T, n, D): the layout of the fused recurrent kernels.
"""

import warnings
from typing import Any, cast

import torch
from torch import Tensor, nn

from models.nets.bag import NgramView
from models.nets.dropout import LAYERS, POOLED, DropoutRandom, drop, drop_words
from models.nets.embedding import Embedding
from models.options import LayersOverWords, ModelOptions
from models.recurrent import RecurrentConfig

# Rounded weights are no part of cuDNN's buffer of a layer's; to copy them there costs little.
warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")


def rounded_type(device: torch.device) -> torch.dtype | None:
    """The type that a recurrent layer on this device has to be given its numbers in.

    Under autocast, torch computes cuDNN's recurrent layers in float16 whatever type it was asked
    for: gradients that bfloat16 holds would fade there. None: torch does what it was asked for.
    """
    if device.type != "cuda" or not torch.is_autocast_enabled("cuda"):
        return None
    kind = torch.get_autocast_dtype("cuda")
    return None if kind == torch.float16 else kind


class Lstm(nn.LSTM):
    """nn.LSTM of one layer and direction, rounded as autocast asks for."""

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:  # type: ignore[override]
        """Words (T, n, D) to outputs (T, n, H), and the last state."""
        kind = rounded_type(x.device)
        return super().forward(x) if kind is None else _rounded(self, x, kind)


class Gru(nn.GRU):
    """nn.GRU of one layer and direction, rounded as autocast asks for."""

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:  # type: ignore[override]
        """Words (T, n, D) to outputs (T, n, H), and the last state."""
        kind = rounded_type(x.device)
        return super().forward(x) if kind is None else _rounded(self, x, kind)


def _rounded(layer: nn.LSTM | nn.GRU, x: Tensor, kind: torch.dtype) -> tuple[Tensor, Any]:
    """A layer's outputs, and its last state, with all numbers of one type."""
    zeros = x.new_zeros(1, x.shape[1], layer.hidden_size, dtype=kind)
    weights = [weight.to(kind) for weight in layer._flat_weights if weight is not None]
    options = (layer.bias, 1, 0.0, layer.training, False, False)
    with torch.autocast(x.device.type, enabled=False):
        if isinstance(layer, nn.GRU):
            return torch.gru(x.to(kind), zeros, weights, *options)
        outputs, *state = torch.lstm(x.to(kind), (zeros, zeros), weights, *options)
        return outputs, state


class Layers(nn.ModuleList):
    """Recurrent layers on one another, each of one or two directions.

    Each is a module of one layer, so that dropout between them is ours (locked: one mask per
    review, the same at every word). The second direction is a module of its own that reads the
    reviews reversed by their own length.
    """

    def __init__(
        self, kind: type[Lstm] | type[Gru], inputs: int, hidden: int, layers: int,
        directions: int,
    ) -> None:
        super().__init__(
            nn.ModuleList(
                kind(inputs if layer == 0 else hidden * directions, hidden)
                for _ in range(directions)
            )
            for layer in range(layers)
        )
        self._directions = directions

    def forward(
        self, x: Tensor, inside: Tensor, lengths: Tensor, draws: DropoutRandom | None,
        dropout: float, turned_back: bool,
    ) -> Tensor:
        """Word vectors (T, n, E) to outputs (T, n, W), every layer's input dropped out.

        turned_back: whether the second direction's outputs stand at the words they read. If
        not, they are left reversed, which the last layer is free to do.
        """
        turn = _reversal(inside, lengths) if self._directions == 2 else None
        for number, layer in enumerate(self):
            directions = cast(nn.ModuleList, layer)
            x = drop(x, draws, LAYERS + number, dropout)
            outputs = [directions[0](x)[0]]  # (T, n, H)
            if turn is not None:
                backwards = directions[1](_Permute.apply(x, turn))[0]
                if turned_back or number + 1 < len(self):
                    backwards = _Permute.apply(backwards, turn)
                outputs.append(backwards)
            x = torch.cat(outputs, 2) if len(outputs) > 1 else outputs[0]
        return x


def inside_mask(tokens: Tensor, lengths: Tensor) -> Tensor:
    """(T, n) bool: which places of tokens (n, T) are words of the review."""
    return torch.arange(tokens.shape[1], device=tokens.device)[:, None] < lengths


class Staged(nn.Module):
    """Embedding, recurrent layers, pooling over the real length, logits: in three stages.

    A net makes its own modules, and pools; its last layer's second direction is turned back where
    `turned_back` says so.
    """

    turned_back = False
    options: ModelOptions[LayersOverWords]
    embedding: Embedding
    layers: Layers
    output: nn.Linear
    ngrams: NgramView | None

    def forward(
        self, tokens: Tensor, lengths: Tensor, draws: DropoutRandom | None = None
    ) -> Tensor:
        """Logits (n,), or (n, C) for C outputs.

        Args:
            tokens: (n, T) int32 or int64; what lies behind a review's length is not read.
            lengths: (n,) int64, 1 to T.
            draws: random numbers of these reviews; None switches dropout off.
        """
        inside = inside_mask(tokens, lengths)
        x = self.embed(tokens, inside, draws)
        return self.read(self.recur(x, inside, lengths, draws), inside, tokens, lengths, draws)

    def embed(self, tokens: Tensor, inside: Tensor, draws: DropoutRandom | None) -> Tensor:
        """First stage: vectors (T, n, E) of tokens (n, T) after word dropout, with `inside` of
        `inside_mask`; behind a review's end, that of padding."""
        options = self.options
        tokens = drop_words(tokens, draws, options.network.word_dropout, options.unknown)
        return self.embedding(tokens.t().contiguous().masked_fill(~inside, options.padding))

    def recur(
        self, x: Tensor, inside: Tensor, lengths: Tensor, draws: DropoutRandom | None
    ) -> Tensor:
        """Second stage: outputs (T, n, W) of the layers."""
        outputs: Tensor = self.layers(
            x, inside, lengths, draws, self.options.network.dropout, turned_back=self.turned_back)
        return outputs

    def read(
        self, x: Tensor, inside: Tensor, tokens: Tensor, lengths: Tensor,
        draws: DropoutRandom | None,
    ) -> Tensor:
        """Third stage: logits of outputs x (T, n, W)."""
        pooled = drop(self.pool(x, inside, lengths), draws, POOLED, self.options.network.dropout)
        logits = self.output(pooled)  # of (n, F)
        if self.ngrams is not None:
            logits = self.ngrams(logits, tokens, lengths, draws)
        return logits.squeeze(1)

    def pool(self, x: Tensor, inside: Tensor, lengths: Tensor) -> Tensor:
        """Outputs (T, n, W) to a vector (n, F) for each review."""
        raise NotImplementedError


class Recurrent(Staged):
    """LSTM or GRU layers in one direction or two, pooled by the last output, maximum or mean."""

    options: ModelOptions[RecurrentConfig]

    def __init__(self, options: ModelOptions[RecurrentConfig]) -> None:
        super().__init__()
        self.options = options
        config = options.network
        self.embedding = Embedding(options.vocabulary_size, config.embedding_dim)
        kind = {"lstm": Lstm, "gru": Gru}[options.model]
        directions = 2 if config.bidirectional else 1
        self.layers = Layers(
            kind, config.embedding_dim, config.hidden_dim, config.layers, directions)
        width = config.hidden_dim * directions * (2 if config.pooling == "mean+max" else 1)
        self.output = nn.Linear(width, options.outputs)
        self.ngrams = NgramView(options) if config.ngrams else None

    def pool(self, x: Tensor, inside: Tensor, lengths: Tensor) -> Tensor:
        """(T, n, W) to (n, W) or, for mean+max, (n, 2 W).

        The second direction of the last layer is still reversed: its word at length - 1 is the
        review's first, by then it has read everything; mean and max do not care.
        """
        config = self.options.network
        n = x.shape[1]
        if config.pooling == "last":
            rows = (lengths - 1) * n + torch.arange(n, device=x.device)
            return x.flatten(0, 1).index_select(0, rows)
        if config.pooling == "max":
            return x.masked_fill(~inside[:, :, None], -torch.inf).max(0).values
        pooled: Tensor = MeanMax.apply(x, inside, lengths)
        return pooled


def _reversal(inside: Tensor, lengths: Tensor) -> Tensor:
    """Row numbers (T * n,) that reverse every review by its own length and leave padding."""
    steps, n = inside.shape
    t = torch.arange(steps, device=inside.device)[:, None]
    source = torch.where(inside, lengths - 1 - t, t)  # (T, n)
    return (source * n + torch.arange(n, device=inside.device)).flatten()


class MeanMax(torch.autograd.Function):
    """The mean and the maximum (n, 2 W) of x (T, n, W) over the places inside (T, n).

    Autograd would go over x some ten times more: it masks twice, and masks the gradients again.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, inside: Tensor, lengths: Tensor) -> Tensor:
        highest, place = x.masked_fill(~inside[:, :, None], -torch.inf).max(0)  # (n, W) each
        weights = inside.to(x.dtype) / lengths  # (T, n)
        ctx.save_for_backward(weights, place)
        # One row of weights for each review times its outputs: what lies outside counts 0.
        mean = torch.bmm(weights.t()[:, None], x.transpose(0, 1))[:, 0]
        return torch.cat([mean, highest], 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        weights, place = ctx.saved_tensors
        of_mean, of_highest = gradients[0].chunk(2, 1)
        gradient = weights[:, :, None] * of_mean
        return gradient.scatter_add_(0, place[None], of_highest[None]), None, None


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
