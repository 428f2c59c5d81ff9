"""Logits of reviews, in micro-batches."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from models.micro_batches import micro_batches
from models.rows import Rows

Array = np.ndarray


def on_device(values: Array, device: torch.device) -> Tensor:
    """The values as a tensor: the same memory on the CPU, a copy on a GPU.

    It fetches it from pinned memory, in its turn, and this process goes on meanwhile.
    """
    tensor = torch.from_numpy(values)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor


def to_tensors(rows: Rows, device: torch.device) -> list[Tensor]:
    """Tokens (n, T) int32, lengths (n,) int64 and any features (n, F) float32 on the device."""
    found = [rows.tokens.astype(np.int32), rows.lengths]
    if rows.features is not None:
        found.append(rows.features)
    return [on_device(values, device) for values in found]


def logits_of(model: nn.Module, rows: Rows, device: torch.device, max_tokens: int) -> Array:
    """Logits (n,) or (n, C) float64 of some reviews, in micro-batches sorted by length.

    Two outputs are one logit: the second's probability is the logistic function of their
    difference.
    """
    order = np.argsort(rows.lengths, kind="stable")
    bounds = micro_batches(rows.lengths[order], max_tokens)
    found = []
    with torch.inference_mode():
        for first, last in pairwise(bounds):
            tensors = to_tensors(rows.take(order[first:last]), device)
            found.append(model(*tensors).double().cpu().numpy())
    logits = np.concatenate(found)
    if logits.ndim == 2 and logits.shape[1] == 2:
        logits = logits[:, 1] - logits[:, 0]
    unsorted = np.empty_like(logits)
    unsorted[order] = logits
    return unsorted
