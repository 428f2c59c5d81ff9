"""Word vectors whose dense gradient costs what a micro-batch touches, not the vocabulary."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Embedding(nn.Module):
    """A table of word vectors, (V, D).

    On CPUs autograd would make a V x D tensor of zeros for every micro-batch, and add all of
    it to the gradient. Here the backward pass adds the rows touched into `weight.grad`, and
    says so by `on_gradient`, because autograd's own hooks do not fire for it.
    On GPUs torch's own backward pass is used: it is deterministic, index_add_ is not.
    """

    def __init__(self, words: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(words, dim) * 0.1)
        self.on_gradient: Callable[[Tensor], None] | None = None

    @torch.no_grad()
    def begin_with(self, vectors: Tensor, frozen: bool) -> None:
        """Take given vectors (V, D). Words whose row is all zeros have none, and stay random."""
        given = vectors.any(1)
        self.weight[given] = vectors[given]
        self.weight.requires_grad_(not frozen)

    def forward(self, tokens: Tensor) -> Tensor:
        """Look up ids of any shape (...): vectors (..., D)."""
        if self.weight.is_cuda or not torch.is_grad_enabled():
            return functional.embedding(tokens, self.weight)
        return _Lookup.apply(self.weight, tokens, self)

    def accumulate(self, tokens: Tensor, gradient: Tensor) -> None:
        """Add the gradient (n, D) of the vectors of tokens (n,)."""
        if self.weight.grad is None:
            self.weight.grad = torch.zeros_like(self.weight)
        self.weight.grad.index_add_(0, tokens, gradient)
        if self.on_gradient is not None:
            self.on_gradient(self.weight)


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, tokens: Tensor, embedding: Embedding) -> Tensor:
        ctx.embedding = embedding
        ctx.save_for_backward(tokens)
        return functional.embedding(tokens, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None]:
        (tokens,) = ctx.saved_tensors
        ctx.embedding.accumulate(tokens.reshape(-1), gradients[0].flatten(0, -2))
        return None, None, None
