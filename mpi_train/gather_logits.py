"""Logits of many reviews: the same numbers for any number of ranks."""

from collections.abc import Iterable

import numpy as np
from torch import nn

from models.nets.predict import logits_of
from models.rows import Rows
from mpi_train.exchange.communicator import Communicator

Array = np.ndarray


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
    every = [communicator.gather_v(np.concatenate(part)) for part in (numbers, labels, logits)]
    if every[0] is None or every[1] is None or every[2] is None:
        return None
    order = np.argsort(every[0], kind="stable")
    outputs = len(every[2]) // max(1, len(order))
    scores = every[2] if outputs <= 1 else every[2].reshape(-1, outputs)
    return every[1][order], scores[order]
