"""Accuracy by kind of review, and the mistakes that a model was surest of."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compare import raw_texts
from compare.analysis.keys import key_slices
from compare.rows import column
from compare.statistics import binomial_error
from reviews.metrics import probabilities
from reviews.store import Store

Array = np.ndarray
LENGTHS = (25, 50, 100, 200)  # token ids: upper ends of the slices, the last of which is open
LEAST = 30  # reviews of a slice; fewer say nothing
MISTAKES = 20
SHOWN = 600  # characters of a text


class Judged(NamedTuple):
    """Predictions of one run for the reviews that it was tested on.

    ids: (n,) review_id.
    labels: (n,) numbers of the true classes.
    logits: (n,) or (n, C).
    """

    ids: Array
    labels: Array
    logits: Array

    @property
    def predicted(self) -> Array:
        """Numbers of the classes (n,) that are said."""
        said: Array = (self.logits >= 0 if self.logits.ndim == 1
                       else self.logits.argmax(1)).astype(np.int64)
        return said

    @property
    def right(self) -> Array:
        """1.0 where a review is judged as its label says, else 0.0 (n,)."""
        found: Array = (self.predicted == self.labels).astype(float)
        return found


def by_slice(
    store: Store, split: str, judged: Mapping[str, list[Judged]]
) -> list[dict[str, Any]]:
    """Slices of at least LEAST reviews: `by` (length, rating, or a key that the store keeps),
    `slice`, `n`, and by model `accuracy` (mean over runs) and `error` (standard error of drawing
    the reviews)."""
    ids = column(store, split, "review_id")
    order = np.argsort(ids, kind="stable")
    shares = {model: _share(ids[order], runs) for model, runs in judged.items()}
    rows = []
    for by, name, member in _slices(store, split, order):
        inside = {model: share[member & ~np.isnan(share)] for model, share in shares.items()}
        n = min((len(share) for share in inside.values()), default=0)
        if n < LEAST:
            continue
        accuracy = {model: float(share.mean()) for model, share in inside.items()}
        rows.append({"by": by, "slice": name, "n": n, "accuracy": accuracy,
                     "error": {model: binomial_error(accuracy[model], len(inside[model]))
                               for model in inside}})
    return rows


def _share(ids: Array, runs: list[Judged]) -> Array:
    """Share of the runs that judged each review right (n,); NaN for those never tested on."""
    right, times = np.zeros(len(ids)), np.zeros(len(ids))
    for run in runs:
        at = np.searchsorted(ids, run.ids)
        np.add.at(right, at, run.right)
        np.add.at(times, at, 1)
    share: Array = np.divide(right, times, out=np.full(len(ids), np.nan), where=times > 0)
    return share


def _slices(store: Store, split: str, order: Array) -> Iterator[tuple[str, str, Array]]:
    """Kind, name and members (n,) of each slice, over the reviews in some order."""
    lengths = column(store, split, "length")[order]
    low = 0
    for high in (*LENGTHS, None):
        if low >= store.length:
            break
        last = store.length if high is None else min(high, store.length)
        yield ("length", f"{low + 1} to {last} ids",
               (lengths > low) & (lengths <= last))
        low = last
    ratings = column(store, split, "rating")[order]
    for rating in np.unique(ratings[~np.isnan(ratings)]).tolist():
        yield "rating", f"{rating:g}", ratings == rating
    yield from key_slices(store, split, order)


def mistakes(texts: Path, runs: list[Judged], classes: list[str]) -> list[dict[str, Any]]:
    """The wrong predictions of the highest probability, surest first: `text`, `label`, `said`,
    `probability`. Of runs over the same reviews, give the first alone."""
    ids, labels, logits = (np.concatenate(part) for part in zip(*runs, strict=True))
    chances = probabilities(logits.reshape(len(ids), -1))
    said = chances.argmax(1)
    wrong = np.flatnonzero(said != labels)
    sure = chances[wrong, said[wrong]]
    first = wrong[np.argsort(-sure, kind="stable")[:MISTAKES]]
    return [{"text": text if len(text) <= SHOWN else text[:SHOWN] + "…",
             "label": classes[labels[row]], "said": classes[said[row]],
             "probability": float(chances[row, said[row]])}
            for row, text in zip(first, raw_texts.read(texts, ids[first]), strict=True)]
