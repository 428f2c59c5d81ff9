"""fastText on the reviews of a store: a peer of `reviewmill bench accuracy`.

    python -m benchmarks.peers.plain_fasttext STORE
    python -m benchmarks.peers.plain_fasttext STORE --ngrams 3 --texts FILE...

Without --texts it sees what the models see: no word outside the vocabulary, and none beyond the
length. With them it sees what its user would give it: the raw files that the store was prepared
from, whole, lower-cased and with marks set apart as in fastText's own tutorial; the reviews of
each split are those of the store, found by the hash of their text. 10 dimensions, 2,000,000
buckets, 5 epochs, a thread for each core. Prints test and validation accuracy, and the seconds of
training without those of reading the words, as JSON.
"""

import argparse
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import fasttext
import h5py
import numpy as np

from reviews.corpora import plan_splits, read_blocks
from reviews.errors import UserError
from reviews.recipe import Recipe
from reviews.store import Store
from reviews.text.cleaning import clean
from reviews.text.subwords import tokenizer_for

OPTIONS = {"dim": 10, "bucket": 2_000_000}
MARKS = re.compile(r"([.!?,'/()])")

Texts = tuple[list[str], np.ndarray]  # one line for each review, labels (n,)


def encoded_texts(store: Store, split: str) -> Texts:
    """Every review as words, which are numbers."""
    with h5py.File(store.path / "reviews.h5", locking=False) as file:
        tokens, lengths, labels = (file[split][name][:] for name in ("tokens", "length", "label"))
    return [" ".join(map(str, row[:n])) for row, n in zip(tokens, lengths, strict=True)], labels


def whole_texts(store: Store, split: str, texts: dict[int, str]) -> Texts:
    """Every review as its raw text, given all raw texts by review_id."""
    with h5py.File(store.path / "reviews.h5", locking=False) as file:
        ids, labels = file[split]["review_id"][:].tolist(), file[split]["label"][:]
    if missing := sum(number not in texts for number in ids):
        raise UserError(f"{missing:,} {split} reviews of {store.path} are not in the files")
    return [as_in_the_tutorial(texts[number]) for number in ids], labels


def raw_texts(files: Sequence[str], recipe: Recipe) -> Iterator[tuple[int, str]]:
    """The review_id of each raw review, and its text; the id is that of stores without keys."""
    for split in plan_splits(files, recipe):
        tokenizer = tokenizer_for(recipe.tokens)
        for block in read_blocks(split, recipe):
            texts = block.reviews["text"]
            identities = tokenizer.tokenize(clean(texts, recipe.cleaning)).identity[:, 0]
            yield from zip(identities.tolist(), texts.to_pylist(), strict=True)


def as_in_the_tutorial(text: str) -> str:
    """Lower case, marks as words of their own, all in one line."""
    return " ".join(MARKS.sub(r" \1 ", text.lower()).split())


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("--texts", nargs="+", metavar="FILE")
    parser.add_argument("--ngrams", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    store, threads = Store(options.store), len(os.sched_getaffinity(0))
    whole = dict(raw_texts(options.texts, store.recipe)) if options.texts else None

    def texts(split: str) -> Texts:
        return encoded_texts(store, split) if whole is None else whole_texts(store, split, whole)

    def seconds(epochs: int) -> float:
        started = time.perf_counter()
        model[0] = fasttext.train_supervised(
            str(file), epoch=epochs, thread=threads, verbose=0, seed=options.seed,
            wordNgrams=options.ngrams, **OPTIONS)
        return time.perf_counter() - started

    model: list = [None]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.txt"
        with open(file, "w") as lines:
            for text, label in zip(*texts("train"), strict=True):
                lines.write(f"__label__{label} {text}\n")
        # Reading the words and making the table is what a run of no epoch takes.
        took = -seconds(0) + seconds(options.epochs)

    def accuracy(split: str) -> float:
        words, labels = texts(split)
        found = [names[0] for names in model[0].predict(words)[0]]
        return float(np.mean([name == f"__label__{label}"
                              for name, label in zip(found, labels, strict=True)]))

    print(json.dumps({"test": accuracy("test"), "validation": accuracy("validation"),
                      "seconds": took}))


if __name__ == "__main__":
    main()
