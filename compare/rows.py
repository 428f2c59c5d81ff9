"""Rows of a store as the baselines and the statistics take them."""

from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reviews.errors import UserError
from reviews.hashing import hash_key, mix
from reviews.metrics import probabilities
from reviews.storage.folders import sha256, whole_file
from reviews.store import Store

Array = np.ndarray


def check_shards(store: Store) -> None:
    """Raise UserError where a shard of the training or test split is missing or damaged."""
    for path in dict.fromkeys(
            shard.path for split in ("train", "test") for shard in store.shards(split)):
        if not path.is_file():
            raise UserError(f"{path} is missing from the store")
        entry = store.manifest["files"][path.relative_to(store.path).as_posix()]
        if sha256(path) != entry["sha256"]:
            raise UserError(f"{path} is damaged: its sha256 is not the manifest's")


def column(store: Store, split: str, name: str) -> Array:
    """One column of a split, in the store's order."""
    found = []
    for shard in store.shards(split):
        with h5py.File(shard.path, locking=False) as file:
            found.append(file[split][name][:])
    return np.concatenate(found)


def texts(store: Store, split: str, chosen: Array | None = None) -> list[str]:
    """Every review of a split, or those at some positions, as token numbers between blanks."""
    tokens, lengths = column(store, split, "tokens"), column(store, split, "length")
    if chosen is not None:
        tokens, lengths = tokens[chosen], lengths[chosen]
    return [" ".join(map(str, row[:n])) for row, n in zip(tokens, lengths, strict=True)]


def draw_sample(ids: Array, fraction: float) -> Array:
    """Positions, ascending, of the reviews with the lowest hashes of their ids (n,): a smaller
    fraction draws some of the same reviews. At least one is drawn."""
    order = np.argsort(mix(ids ^ np.uint64(hash_key(0))), kind="stable")
    return np.sort(order[: max(1, round(fraction * len(ids)))])


def write_rows(path: Path, ids: Array, positions: Array) -> None:
    """Write the Parquet file by which `train --rows` trains once on each of these positions.

    Args:
        ids: review_id of the whole training split.
    """
    table = pa.table({"review_id": ids[positions], "row": positions,
                      "count": np.ones(len(positions), np.int64)})
    with whole_file(str(path)) as file:
        pq.write_table(table, file)


def read_rows(path: Path) -> Array:
    """The positions in the training split that such a file names."""
    positions: Array = pq.read_table(path)["row"].to_numpy()
    return positions


def write_predictions(path: Path, store: Store, logits: Array) -> None:
    """Write logits (n,) or (n, C) of the test split as `evaluate --predictions` does."""
    labels = column(store, "test", "label")
    wide = logits.astype(np.float32).reshape(len(labels), -1)
    chances = probabilities(wide)
    table = pa.table({
        "review_id": column(store, "test", "review_id"),
        "label": pa.array(store.classes).take(pa.array(labels)),
        "logits": pa.FixedSizeListArray.from_arrays(wide.ravel(), wide.shape[1]),
        "probability": pa.FixedSizeListArray.from_arrays(chances.ravel(), chances.shape[1]),
    })
    with whole_file(str(path)) as file:
        pq.write_table(table, file)


def read_predictions(path: Path, classes: list[str]) -> tuple[Array, Array, Array]:
    """review_id, label (n,) and logits (n,) for two classes by one output, else (n, C); in the
    order of review_id and label, which is the same for every system."""
    table = pq.read_table(path)
    ids = table["review_id"].to_numpy()
    labels = np.array([classes.index(name) for name in table["label"].to_pylist()], np.int64)
    logits = np.array(table["logits"].to_pylist(), np.float64)
    order = np.lexsort((labels, ids))
    logits = logits[:, 0] if logits.shape[1] == 1 else logits
    return ids[order], labels[order], logits[order]
