"""fastText with word pairs on the words of a store: a peer of `reviewmill bench accuracy`.

    python -m benchmarks.peers.plain_fasttext STORE

It sees what the models see, so no word outside the vocabulary and none beyond the length: on
whole texts it may do better. wordNgrams 2, 10 dimensions, 2,000,000 buckets, 5 epochs, a thread
for each core. Prints test and validation accuracy, and the seconds of training without those of
reading the words, as JSON.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import fasttext
import h5py
import numpy as np

from reviews.store import Store

OPTIONS = {"wordNgrams": 2, "dim": 10, "bucket": 2_000_000}


def texts(store: Store, split: str) -> tuple[list[str], np.ndarray]:
    """Every review as words, which are numbers, and the labels (n,)."""
    with h5py.File(store.path / "reviews.h5", locking=False) as file:
        tokens, lengths, labels = (file[split][name][:] for name in ("tokens", "length", "label"))
    return [" ".join(map(str, row[:n])) for row, n in zip(tokens, lengths, strict=True)], labels


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    store, threads = Store(options.store), len(os.sched_getaffinity(0))

    def seconds(epochs: int) -> float:
        started = time.perf_counter()
        model[0] = fasttext.train_supervised(
            str(file), epoch=epochs, thread=threads, verbose=0, seed=options.seed, **OPTIONS)
        return time.perf_counter() - started

    model: list = [None]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.txt"
        with open(file, "w") as lines:
            for text, label in zip(*texts(store, "train"), strict=True):
                lines.write(f"__label__{label} {text}\n")
        # Reading the words and making the table is what a run of no epoch takes.
        took = -seconds(0) + seconds(options.epochs)

    def accuracy(split: str) -> float:
        words, labels = texts(store, split)
        found = [names[0] for names in model[0].predict(words)[0]]
        return float(np.mean([name == f"__label__{label}"
                              for name, label in zip(found, labels, strict=True)]))

    print(json.dumps({"test": accuracy("test"), "validation": accuracy("validation"),
                      "seconds": took}))


if __name__ == "__main__":
    main()
