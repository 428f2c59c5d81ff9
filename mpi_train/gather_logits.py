"""Logits of many reviews: the same numbers for any number of ranks."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from models.nets.predict import logits_of
from models.rows import Rows
from mpi_train.exchange.communicator import Communicator
from reviews.bundle import Bundle
from reviews.errors import UserError
from reviews.metrics import evaluate_scores
from reviews.store import Store

Array = np.ndarray


def check_fits(bundle: Bundle, store: Store, path: str) -> None:
    """Raise UserError where a model cannot read the rows of a store, which a user knows by its
    path."""
    if store.vocabulary_file.read_bytes() != (bundle.path / "vocabulary.txt").read_bytes():
        raise UserError(f"{path} was encoded with another vocabulary than the model's")
    ours, theirs = bundle.model["classes"], store.classes
    if ours != theirs:  # labels are numbers: 1 may be positive here and neutral there
        raise UserError(f"{path} has the classes {', '.join(theirs)}, but the model "
                        + ", ".join(ours))
    features = bundle.model.get("features", [])
    if features and store.feature_names != features:
        raise UserError(f"{path} has not the features that the model reads: "
                        + ", ".join(features))


class Scored(NamedTuple):
    """Reviews in order, with the logits that a model gives them."""

    labels: Array  # (n,) uint8
    logits: Array  # (n,) or (n, C) float64
    ids: Array | None  # (n,) uint64, where they were read


def gather_logits(
    model: nn.Module, blocks: Iterable[tuple[int, Rows]], communicator: Communicator,
    max_tokens: int,
) -> Scored | None:
    """Labels and logits of all blocks, with the ids of rows that have some; on rank 0 only.

    A block has a number, which orders the result, and is worked on by one rank, as a whole:
    no sum anywhere depends on how many ranks there are.
    """
    numbers, labels, logits = [np.zeros(0, np.int64)], [np.zeros(0, np.uint8)], [np.zeros(0)]
    ids = [np.zeros(0, np.uint64)]
    for number, rows in blocks:
        numbers.append(np.full(len(rows.labels), number))
        labels.append(rows.labels)
        logits.append(logits_of(model, rows, communicator.device, max_tokens).ravel())
        if rows.ids is not None:
            ids.append(rows.ids)
    number, label, scores, known = (communicator.gather_v(np.concatenate(column))
                                    for column in (numbers, labels, logits, ids))
    if number is None or label is None or scores is None or known is None:
        return None
    order = np.argsort(number, kind="stable")
    outputs = len(scores) // max(1, len(order))
    scores = scores if outputs <= 1 else scores.reshape(-1, outputs)
    return Scored(label[order], scores[order], known[order] if len(known) else None)


def validate(
    model: nn.Module, blocks: Iterable[tuple[int, Rows]], communicator: Communicator,
    classes: Sequence[str], max_tokens: int,
) -> dict[str, Any] | None:
    """Figures on the validation split, of which each rank has some blocks; None on other ranks than
    0, or without such a split."""
    scored = gather_logits(model, blocks, communicator, max_tokens)
    if scored is None or len(scored.labels) == 0:
        return None
    figures = evaluate_scores(scored.labels, scored.logits, classes)
    return {name: figures[name] for name in ("n", "loss", "accuracy", "f1_macro", "roc_auc")}
