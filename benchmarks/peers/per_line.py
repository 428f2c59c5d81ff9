"""The 2019 way in plain Python: mapper, sort, reducer, encoder, one review after another.

    python -m benchmarks.peers.per_line reviews.json.gz rows.h5 --rating-field overall

Letters only, lower case, stop words out; equal texts are merged and keep their most frequent
rating (of a tie, the lower one); the most frequent words get ids from 3 on, 1 is padding and 2
unknown; sequences are cut or padded. Stop words, size of the vocabulary and length are those of
a recipe. It is kinder than its model, which wrote one HDF5 dataset for each review: here rows
are written 1,024 at a time.
"""

import argparse
import gzip
import json
import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import h5py
import numpy as np

from reviews.recipe import Recipe, load_recipe

PADDING, UNKNOWN, FIRST = 1, 2, 3
BLOCK = 1024


def mapper(
    lines: Iterable[str], text_field: str, rating_field: str, stop_words: set[str]
) -> Iterator[str]:
    """JSON lines to `words<TAB>rating` lines."""
    for line in lines:
        review = json.loads(line)
        letters = re.sub("[^a-z]+", " ", review[text_field].lower())
        words = [word for word in letters.split() if word not in stop_words]
        if words:
            yield f"{' '.join(words)}\t{review[rating_field]}\n"


def reducer(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Sorted lines of the mapper to distinct texts, each with its most frequent rating."""
    for text, group in groupby(lines, lambda line: line.split("\t", 1)[0]):
        ratings = Counter(line.rstrip("\n").split("\t", 1)[1] for line in group)
        yield text, min(ratings, key=lambda rating: (-ratings[rating], rating))


def encode(text: str, ids: dict[str, int], length: int) -> list[int]:
    """The ids of a text, cut or padded to the length."""
    sequence = [ids.get(word, UNKNOWN) for word in text.split()[:length]]
    return sequence + [PADDING] * (length - len(sequence))


def is_positive(rating: str) -> bool:
    """4 and 5 stars, or a label that says so."""
    return rating == "positive" or (rating[0].isdigit() and float(rating) >= 4)


def run(source: Path, target: Path, text_field: str, rating_field: str, recipe: Recipe) -> int:
    """All of it; returns the number of rows written."""
    stop_words = set(recipe.tokens.stop_words)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        mapped, by_text, merged = (Path(folder, name) for name in ("mapped", "sorted", "merged"))
        with gzip.open(source, "rt", encoding="utf-8") as lines, open(mapped, "w") as file:
            file.writelines(mapper(lines, text_field, rating_field, stop_words))
        subprocess.run(["sort", "--parallel=1", "-S", "200M", "-T", folder, "-o", by_text, mapped],
                       check=True, env={**os.environ, "LC_ALL": "C"})
        frequency: Counter[str] = Counter()
        with open(by_text) as lines, open(merged, "w") as file:
            for text, rating in reducer(lines):
                frequency.update(text.split())
                file.write(f"{text}\t{rating}\n")
        common = frequency.most_common(recipe.encoding.vocabulary_size)
        ids = {word: FIRST + i for i, (word, _) in enumerate(common)}
        with open(merged) as lines, h5py.File(target, "w") as store:
            return write_rows(lines, store, ids, recipe.encoding.length)


def write_rows(
    lines: Iterable[str], store: h5py.File, ids: dict[str, int], length: int
) -> int:
    """Merged lines to two growing datasets; returns their rows."""
    tokens = store.create_dataset(
        "tokens", (0, length), "uint16", maxshape=(None, length), chunks=(BLOCK, length),
        compression="gzip", compression_opts=1, shuffle=True,
    )
    labels = store.create_dataset("label", (0,), "uint8", maxshape=(None,), chunks=(BLOCK,))
    block: list[list[int]] = []
    block_labels: list[bool] = []

    def flush() -> None:
        rows = len(tokens)
        tokens.resize(rows + len(block), 0)
        labels.resize(rows + len(block), 0)
        tokens[rows:] = np.array(block, np.uint16)
        labels[rows:] = block_labels
        block.clear()
        block_labels.clear()

    for line in lines:
        text, rating = line.rstrip("\n").split("\t", 1)
        block.append(encode(text, ids, length))
        block_labels.append(is_positive(rating))
        if len(block) == BLOCK:
            flush()
    if block:
        flush()
    return len(tokens)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--text-field", default="reviewText")
    parser.add_argument("--rating-field", default="overall")
    parser.add_argument("--recipe", default="rnn2019", help="preset, or file")
    options = parser.parse_args()
    recipe = load_recipe(options.recipe).resolved()
    print(run(options.source, options.target, options.text_field, options.rating_field, recipe))


if __name__ == "__main__":
    main()
