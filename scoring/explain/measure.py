"""Measurement of explanations: words that are named move the probability further than others."""

from collections.abc import Iterator
from dataclasses import dataclass

import h5py
import numpy as np

from reviews.errors import UserError
from reviews.metrics import probabilities
from reviews.store import Store
from scoring.encode import EncodedTexts
from scoring.explain.words import effects
from scoring.predictor import Predictor

Array = np.ndarray
REVIEWS = 500  # of the test split
NAMED = 3  # words of each
FEWEST = 2 * NAMED  # words of a review, so that random ones may be others


@dataclass(frozen=True)
class Measured:
    """Mean change of the probability when words are taken out of a review."""

    reviews: int
    named: float  # without the words that each by itself moves it furthest
    random: float  # without as many random ones

    def __str__(self) -> str:
        return (f"without the {NAMED} words that are named the probability moves by "
                f"{self.named:.3f} in the mean, without {NAMED} random ones by {self.random:.3f} "
                f"({self.named / max(self.random, 1e-9):.1f} times as far; {self.reviews:,} test "
                "reviews)")


def measure_explanations(
    predictor: Predictor, store: Store, most: int = REVIEWS, seed: int = 0
) -> Measured:
    """Explain the first test reviews of FEWEST words or more, `most` of them.

    Rows of a store stand in the order of a hash, so that the first ones are any. Raises UserError
    where the model is of another store, whose words have other ids, or no review is long enough.
    """
    if predictor.bundle.model.get("store") != store.fingerprint:
        raise UserError(f"{predictor.bundle.path} was not trained on {store.path}")
    dice = np.random.default_rng(seed)
    coding = predictor.encoder.coding
    around = len(coding.prefix), len(coding.suffix)
    named, random = [], []
    for ids in rows_of_test(store, FEWEST + sum(around)):
        words = np.arange(around[0], len(ids) - around[1])
        moved = effects(_predict(predictor, [ids, *(np.delete(ids, word) for word in words)]))
        strongest = words[np.argsort(-np.abs(moved), kind="stable")[:NAMED]]
        found = _predict(predictor, [
            ids, np.delete(ids, strongest), np.delete(ids, dice.choice(words, NAMED, False))])
        first, second = np.abs(effects(found))
        named.append(first)
        random.append(second)
        if len(named) == most:
            break
    if not named:
        raise UserError(f"{store.path} has no test review of {FEWEST} words or more")
    return Measured(len(named), float(np.mean(named)), float(np.mean(random)))


def rows_of_test(store: Store, fewest: int) -> Iterator[Array]:
    """Ids (length,) of the test reviews that have `fewest` ids or more."""
    for shard in store.shards("test"):
        store.check_file(shard.path)
        with h5py.File(shard.path, locking=False) as file:
            lengths = file["test"]["length"][:]
            for number in np.flatnonzero(lengths >= fewest):
                yield file["test"]["tokens"][number, : lengths[number]]


def _predict(predictor: Predictor, rows: list[Array]) -> Array:
    """Probabilities (n, classes) of rows of ids."""
    lengths = np.array([len(row) for row in rows], np.int32)
    tokens = np.zeros((len(rows), lengths.max()), rows[0].dtype)
    for line, row in zip(tokens, rows, strict=True):
        line[: len(row)] = row
    encoded = EncodedTexts(tokens, lengths, lengths, np.zeros_like(lengths))
    return probabilities(predictor.model.logits(encoded))
