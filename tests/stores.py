"""Small stores for tests that need one but not its preparation."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reviews.options import to_mapping
from reviews.recipe import SPLITS, Recipe
from reviews.storage.folders import sha256
from reviews.store import Store, commit_store, empty_manifest, write_shard
from reviews.vocabulary import FIRST_WORD

NO_KEYS: Mapping[str, Callable[[np.random.Generator, int], np.ndarray]] = {}


def make_store(
    folder: Path,
    rows: Mapping[str, int],
    length: int = 32,
    vocabulary: int = 200,
    seed: int = 0,
    shards: int = 2,
    classes: Sequence[str] = (),
    features: Sequence[str] = (),
    vectors: np.ndarray | None = None,
    keys: Mapping[str, Callable[[np.random.Generator, int], np.ndarray]] = NO_KEYS,
) -> Store:
    """A store of random reviews; each class prefers the words of its part of the vocabulary.

    Features are random numbers; the first is a hint about the label. Vectors (ids, d) float32
    are put into the store as they are. Keys (n,) are drawn by these calls.
    """
    rng = np.random.default_rng(seed)
    of_keys = np.random.default_rng([seed, 1])  # all else is the same with and without them
    recipe = Recipe.of(length=length, vocabulary_size=vocabulary, seed=seed)
    classes = list(classes) or recipe.labels.class_names
    manifest = empty_manifest(to_mapping(recipe), classes)
    manifest["vocabulary_size"] = vocabulary + FIRST_WORD
    manifest["distinct_words"] = vocabulary
    manifest["files"] = {}
    if features:
        manifest["features"] = {"names": list(features), "encoding": []}
    if keys:
        manifest["keys"] = {key: {"rows": sum(rows.values())} for key in keys}
    totals = {split: _no_rows(classes, rows.get(split, 0)) for split in SPLITS}
    (folder / "shards").mkdir(parents=True)
    for number in range(shards):
        columns = {}
        for split in SPLITS:
            n = rows.get(split, 0)
            here = n // shards + (n % shards if number == 0 else 0)
            columns[split] = _random_rows(rng, here, length, vocabulary, len(classes))
            if features:
                numbers = rng.normal(size=(here, len(features))).astype(np.float32)
                numbers[:, 0] += columns[split]["label"]
                columns[split]["features"] = numbers
            for key, draw in keys.items():
                columns[split][key] = draw(of_keys, here)
            labels = np.bincount(columns[split]["label"], minlength=len(classes)).tolist()
            totals[split]["rows"] += here
            for name, count in zip(classes, labels, strict=True):
                totals[split]["labels"][name] += count
            totals[split]["words"] += int(columns[split]["length"].sum())
        path = folder / "shards" / f"part-{number:05d}.h5"
        write_shard(path, columns)
        manifest["files"][f"shards/{path.name}"] = {
            "sha256": sha256(path),
            "bytes": path.stat().st_size,
            "rows": {split: len(columns[split]["label"]) for split in SPLITS},
        }
    manifest["splits"] = totals
    stored = sum(rows.values())
    manifest["records"] = {"read": stored, "stored": stored, "bad": {},
                           "dropped": {"duplicate": 0, "neutral": 0, "no_words": 0}}
    extra = {}
    if vectors is not None:
        manifest["vectors"] = {"dimension": vectors.shape[1], "words": int(vectors.any(1).sum())}
        np.save(folder / "vectors.npy", vectors)
        extra["vectors.npy"] = folder / "vectors.npy"
    commit_store(str(folder), manifest, [f"w{i}" for i in range(vocabulary)], extra)
    return Store(folder)


def _no_rows(classes: Sequence[str], expected: int) -> dict[str, Any]:
    return {"rows": 0, "labels": dict.fromkeys(classes, 0), "ratings": {},
            "lengths": [[10**9, expected]], "words": 0, "unknown_words": 0, "truncated": 0}


def _random_rows(
    rng: np.random.Generator, n: int, length: int, vocabulary: int, classes: int
) -> dict[str, np.ndarray]:
    sizes = np.clip(rng.lognormal(np.log(length / 3), 0.7, n), 1, length).astype(np.uint16)
    label = (rng.random(n) < 0.6).astype(np.uint8)
    # Each label prefers its half of the vocabulary, so that there is something to learn.
    half = rng.random((n, length)) < np.where(label == 1, 0.7, 0.3)[:, None]
    part = half.astype(np.int64)
    if classes > 2:
        label = rng.integers(0, classes, n).astype(np.uint8)
        other = rng.integers(0, classes, (n, length))
        part = np.where(rng.random((n, length)) < 0.5, label[:, None], other)
    size = vocabulary // classes
    tokens = FIRST_WORD + rng.integers(0, size, (n, length)) + part * size
    tokens[np.arange(length) >= sizes[:, None]] = 0
    return {
        "tokens": tokens.astype(np.uint16),
        "length": sizes,
        "label": label,
        "rating": np.where(label == 1, 5, 1).astype(np.float32),
        "review_id": rng.integers(0, 2**63, n).astype(np.uint64),
    }
