"""Baselines of a comparison, each trained and evaluated by a process of its own.

    python -m compare.baselines train NAME STORE FOLDER --seed N [--rows FILE] [--texts FILE]
    python -m compare.baselines evaluate NAME STORE FOLDER --predictions FILE [--split SPLIT] ...

Those of tokens see what the models see: no word beyond vocabulary and length. With --texts, the
raw texts of the store's reviews, the others read these.
"""

import argparse
import importlib
import json
import pickle
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compare import fasttext_model, ratings, raw_texts, vader
from compare.learners import LEARNERS, Learner
from compare.rows import column, read_rows, texts
from compare.systems import SYSTEMS
from reviews.errors import UserError
from reviews.predictions import write_predictions
from reviews.store import Store

Array = np.ndarray
MODEL, RATINGS = "model", "ratings"


@dataclass(frozen=True)
class Source:
    """The store of a comparison, and the file of its reviews' raw texts, if there is one."""

    store: Store
    texts: Path | None = None

    def documents(self, name: str, split: str, chosen: Array | None = None) -> list[str]:
        """The reviews of a split, or those at some positions, as a baseline reads them."""
        if not SYSTEMS[name].raw:
            return texts(self.store, split, chosen)
        assert self.texts is not None
        ids = column(self.store, split, "review_id")
        raw = raw_texts.read(self.texts, ids if chosen is None else ids[chosen])
        return raw if name == "vader" else [fasttext_model.as_in_its_tutorial(t) for t in raw]

    def features(self, split: str, chosen: Array | None = None) -> Array | None:
        """Features (n, F) of the same reviews; None where the store has none."""
        if not self.store.feature_names:
            return None
        every = column(self.store, split, "features")
        return every if chosen is None else every[chosen]


def main(argv: Sequence[str]) -> None:
    """Train or evaluate one baseline; print its seconds as JSON."""
    options = make_parser().parse_args(argv)
    name, source = options.name, Source(Store(options.store), options.texts)
    model = options.folder / MODEL
    for package in SYSTEMS[name].packages:  # their import is no part of the time
        importlib.import_module(package)
    started = time.perf_counter()
    if options.action == "train":
        train(name, source, model, options.seed, options.rows)
        seconds = time.perf_counter() - started
        train_ratings(name, source, options.folder / RATINGS, options.seed, options.rows)
    else:
        logits = predict(name, source, model, options.split).astype(np.float32)
        ids = column(source.store, options.split, "review_id")
        write_predictions(
            str(options.predictions), ids, column(source.store, options.split, "label"), logits,
            source.store.classes)
        seconds = time.perf_counter() - started
        if (options.folder / RATINGS).is_file():
            ratings.write_ratings(
                options.folder / ratings.FILE, ids, column(source.store, options.split, "rating"),
                predict_ratings(name, source, options.folder / RATINGS, options.split))
    print(json.dumps({"seconds": seconds}))


def make_parser() -> argparse.ArgumentParser:
    """The arguments of a process."""
    parser = argparse.ArgumentParser("python -m compare.baselines")
    parser.add_argument("action", choices=["train", "evaluate"])
    parser.add_argument("name", choices=[n for n, s in SYSTEMS.items() if s.options is None])
    parser.add_argument("store")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--predictions", type=Path)
    return parser


def train(name: str, source: Source, model: Path, seed: int, rows: Path | None) -> None:
    """Fit a baseline; write it to the file `model`.

    Args:
        rows: file of the training rows, as `train --rows` takes it; None for all of them.
    """
    chosen = read_rows(rows) if rows else np.arange(source.store.rows("train"))
    labels = column(source.store, "train", "label")[chosen]
    if name == "majority":
        counts = np.bincount(labels, minlength=len(source.store.classes))
        model.write_text(json.dumps(counts.tolist()), "ascii")
    elif name == "vader":
        vader.check_lexicon()
        model.touch()
    elif name in LEARNERS:
        documents = source.documents(name, "train", chosen)
        fitted = Learner(name, seed).fit(documents, source.features("train", chosen), labels)
        model.write_bytes(pickle.dumps(fitted))
    else:
        fasttext_model.train(name, source.documents(name, "train", chosen), labels, model, seed)


def train_ratings(
    name: str, source: Source, model: Path, seed: int, rows: Path | None
) -> None:
    """Fit the ratings and write the file `model`, where the system has them and every training row
    has one; the arguments are those of `train`."""
    chosen = read_rows(rows) if rows else np.arange(source.store.rows("train"))
    targets = column(source.store, "train", "rating")[chosen]
    if name not in ratings.RATED or np.isnan(targets).any():
        return
    if name == "majority":
        model.write_text(json.dumps(float(targets.mean())), "ascii")
        return
    documents = source.documents(name, "train", chosen)
    fitted = Learner(name, seed, of_ratings=True)
    fitted.fit(documents, source.features("train", chosen), targets)
    model.write_bytes(pickle.dumps(fitted))


def predict_ratings(name: str, source: Source, model: Path, split: str = "test") -> Array:
    """Predicted ratings (n,) of a split."""
    if name == "majority":
        return np.full(source.store.rows(split), json.loads(model.read_bytes()))
    # `train_ratings` of the same run wrote it just now.
    fitted: Learner = pickle.loads(model.read_bytes())
    return fitted.ratings(source.documents(name, split), source.features(split))


def predict(name: str, source: Source, model: Path, split: str = "test") -> Array:
    """Logits of a split: (n,) for two classes, else (n, C)."""
    classes = len(source.store.classes)
    if name == "majority":
        logs = np.log(np.maximum(json.loads(model.read_bytes()), 0.5))
        logits = np.tile(logs[1:] - logs[0] if classes == 2 else logs,
                         (source.store.rows(split), 1))
        return logits[:, 0] if classes == 2 else logits
    documents = source.documents(name, split)
    if name == "vader":
        return vader.logits(documents, classes)
    if name in LEARNERS:
        # `train` of the same run wrote it just now.
        fitted: Learner = pickle.loads(model.read_bytes())
        return fitted.logits(documents, source.features(split))
    return fasttext_model.logits(documents, classes, model)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
