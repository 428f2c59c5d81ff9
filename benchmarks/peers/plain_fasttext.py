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
import tempfile
import time
from pathlib import Path

import fasttext
import numpy as np

from compare import raw_texts
from compare.fasttext_model import OPTIONS, as_in_its_tutorial, generator_seed
from compare.rows import column, texts
from reviews.store import Store

SPLITS = ("train", "validation", "test")
Documents = tuple[list[str], np.ndarray]  # one line for each review, labels (n,)


def documents(store: Store, split: str, whole: Path | None) -> Documents:
    """Every review as words, which are numbers, or as its raw text from the file of all of them."""
    labels = column(store, split, "label")
    if whole is None:
        return texts(store, split), labels
    raw = raw_texts.read(whole, column(store, split, "review_id"))
    return [as_in_its_tutorial(text) for text in raw], labels


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
    def seconds(epochs: int) -> float:
        started = time.perf_counter()
        model[0] = fasttext.train_supervised(
            str(file), thread=threads, verbose=0, seed=generator_seed(options.seed),
            wordNgrams=options.ngrams, **{**OPTIONS, "epoch": epochs})
        return time.perf_counter() - started

    model: list = [None]
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "texts.parquet" if options.texts else None
        if whole is not None:
            raw_texts.write(whole, store, options.texts, SPLITS)
        file = Path(folder) / "train.txt"
        with open(file, "w") as lines:
            for text, label in zip(*documents(store, "train", whole), strict=True):
                lines.write(f"__label__{label} {text}\n")
        # Reading the words and making the table is what a run of no epoch takes.
        took = -seconds(0) + seconds(options.epochs)
        held_out = {split: documents(store, split, whole) for split in ("test", "validation")}

    def accuracy(split: str) -> float:
        words, labels = held_out[split]
        found = [names[0] for names in model[0].predict(words)[0]]
        return float(np.mean([name == f"__label__{label}"
                              for name, label in zip(found, labels, strict=True)]))

    print(json.dumps({"test": accuracy("test"), "validation": accuracy("validation"),
                      "seconds": took}))


if __name__ == "__main__":
    main()
