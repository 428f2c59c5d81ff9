"""Logits of many reviews: the same numbers for any number of ranks."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from mpi_train.data import Rows
from mpi_train.exchange.communicator import Communicator
from mpi_train.plan import micro_batches

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


def gather_logits(
    model: nn.Module, blocks: Iterable[tuple[int, Rows]], communicator: Communicator,
    max_tokens: int,
) -> tuple[Array, Array] | None:
    """Labels (n,) uint8 and logits (n,) or (n, C) float64 of all blocks; on rank 0 only.

    A block has a number, which orders the result, and is worked on by one rank, as a whole:
    no sum anywhere depends on how many ranks there are.
    """
    numbers, labels, logits = [np.zeros(0, np.int64)], [np.zeros(0, np.uint8)], [np.zeros(0)]
    for number, rows in blocks:
        numbers.append(np.full(len(rows.labels), number))
        labels.append(rows.labels)
        logits.append(logits_of(model, rows, communicator.device, max_tokens).ravel())
    every = [communicator.gather_rows(np.concatenate(part)) for part in (numbers, labels, logits)]
    if every[0] is None or every[1] is None or every[2] is None:
        return None
    order = np.argsort(every[0], kind="stable")
    outputs = len(every[2]) // max(1, len(order))
    scores = every[2] if outputs <= 1 else every[2].reshape(-1, outputs)
    return every[1][order], scores[order]
