"""fastText as a baseline: 10 dimensions, 2,000,000 buckets, 5 epochs, a thread for each core."""

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from compare.learners import log_odds

Array = np.ndarray
OPTIONS = {"dim": 10, "bucket": 2_000_000, "epoch": 5}
# Words of the longest n-gram; `raw` names read whole raw texts.
NGRAMS = {"fasttext": 2, "fasttext-raw-1": 1, "fasttext-raw-2": 2, "fasttext-raw-3": 3}
MARKS = re.compile(r"([.!?,'/()])")


def generator_seed(seed: int) -> int:
    """fastText's seed for the seed of a run: its generator takes 0 for 1, and adds the number of
    the thread, so that neighbours would share what they draw.
    """
    return 1 + 1_000 * seed


def as_in_its_tutorial(text: str) -> str:
    """A raw text in lower case, marks as words of their own, all in one line."""
    return " ".join(MARKS.sub(r" \1 ", text.lower()).split())


def train(name: str, documents: Sequence[str], labels: Array, model: Path, seed: int) -> None:
    """Train on documents of one line each and labels (n,); write the file `model`."""
    import fasttext

    with tempfile.TemporaryDirectory(dir=model.parent) as folder:
        file = Path(folder) / "train.txt"
        with open(file, "w", encoding="utf-8") as lines:
            for text, label in zip(documents, labels, strict=True):
                lines.write(f"__label__{label} {text}\n")
        fitted = fasttext.train_supervised(
            str(file), thread=len(os.sched_getaffinity(0)), verbose=0, seed=generator_seed(seed),
            wordNgrams=NGRAMS[name], **OPTIONS)
    fitted.save_model(str(model))


def logits(documents: Sequence[str], classes: int, model: Path) -> Array:
    """Logits of documents: (n,) for two classes, else (n, C)."""
    import fasttext

    # The public predict() of many lines repeats the first probability for all labels, and that of
    # one line fails with NumPy 2.
    binding = fasttext.load_model(str(model)).f
    chances = np.zeros((len(documents), classes))
    for row, text in enumerate(documents):
        for chance, name in binding.predict(text + "\n", classes, 0.0, "strict"):
            chances[row, int(name.removeprefix("__label__"))] = chance
    return log_odds(chances)
