"""Losses as sums over reviews; the caller divides by a denominator known from the plan."""

import torch
from torch import Tensor
from torch.nn import functional


def binary_cross_entropy(logits: Tensor, labels: Tensor, positive_weight: float = 1.0) -> Tensor:
    """Summed binary cross entropy of logits (n,) with labels (n,) 0 or 1: a scalar.

    positive_weight multiplies the loss of the positive reviews, as torch's pos_weight does;
    the denominator stays the number of reviews.
    """
    weight = torch.tensor(positive_weight, dtype=logits.dtype, device=logits.device)
    return functional.binary_cross_entropy_with_logits(
        logits, labels.to(logits.dtype), pos_weight=weight, reduction="sum"
    )
