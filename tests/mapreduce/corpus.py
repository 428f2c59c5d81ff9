"""A small corpus full of duplicates, and readers of what was made of it."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mapreduce.engines.options import EngineOptions
from mapreduce.prepare import prepare
from reviews.recipe import SPLITS, Recipe
from reviews.store import Store

WORDS = ["good", "bad", "fine", "awful", "tea", "cup", "very", "not", "it's", "broke", "again",
         "lovely", "nice", "!", ".", "café"]


def make_reviews(n: int, seed: int = 0, longest: int = 6) -> list[dict[str, Any]]:
    """Reviews of few words, so that many are equal; some fields are missing at times."""
    rng, fields = random.Random(seed), random.Random(seed)
    rows = []
    for i in range(n):
        row: dict[str, Any] = {
            "reviewText": " ".join(rng.choices(WORDS, k=rng.randint(0, longest))),
            "overall": float(rng.randint(1, 5)),
            "reviewerID": f"r{rng.randint(0, 40)}",
            "asin": f"p{rng.randint(0, 15)}",
            "unixReviewTime": 1_300_000_000 + 86_400 * rng.randint(0, 20),
        }
        for name in ("reviewerID", "asin", "unixReviewTime"):
            # The first rows are whole: fields are found by looking at them.
            if i > 50 and rng.random() < 0.1:
                del row[name]
        row |= {"votes": fields.randint(0, 9), "verified": fields.choice(["yes", "no", None])}
        rows.append(row)
    return rows


def write_reviews(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def run(inputs: list[str], out: Path | str, recipe: Recipe | None = None, **options: Any) -> Store:
    """Prepare a store; `test` and `validation` name given splits."""
    roles = {
        "corpus": inputs,
        "validation": options.pop("validation", []),
        "test": options.pop("test", []),
    }
    overwrite = options.pop("overwrite", False)
    engine = EngineOptions(**{"runner": "inline", "workers": 1, **options})
    prepare(roles, str(out), recipe or Recipe(), engine, overwrite)
    return Store(out)


def stored_rows(store: Store) -> Iterator[dict[str, Any]]:
    """Every row with its words spelled out, in the order of the store."""
    vocabulary = ["<pad>", "<unknown>", *store.vocabulary_file.read_text().split("\n")]
    for split in SPLITS:
        for shard in store.shards(split):
            with h5py.File(shard.path, locking=False) as file:
                columns = {name: values[:] for name, values in file[split].items()}
            for i in range(shard.rows):
                ids = columns["tokens"][i][: columns["length"][i]]
                yield {
                    "split": split,
                    "words": tuple(vocabulary[j] for j in ids),
                    "label": int(columns["label"][i]),
                    "rating": float(columns["rating"][i]),
                    "id": int(columns["review_id"][i]),
                    **{key: int(columns[key][i]) for key in store.keys},
                }


def mode(values: list[float]) -> float:
    """The most frequent value, the lower one of a tie."""
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value))


def bytes_of(store: Store) -> dict[str, bytes]:
    """All files that make the store what it is."""
    return {
        str(path.relative_to(store.path)): path.read_bytes()
        for path in sorted(store.path.rglob("*"))
        if path.is_file() and path.name != "prepare.json"
    }


def label_fractions(store: Store, split: str) -> np.ndarray:
    """Rows of each label in a split as a part of all rows of that label."""
    entries = store.manifest["splits"]
    whole = np.sum([list(entries[s]["labels"].values()) for s in SPLITS], axis=0)
    return np.array(list(entries[split]["labels"].values())) / whole
