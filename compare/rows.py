"""Rows of a store as the baselines and the statistics take them."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reviews.errors import UserError
from reviews.hashing import hash_key, mix
from reviews.storage.folders import whole_file
from reviews.store import Store

Array = np.ndarray


def check_shards(store: Store) -> None:
    """Raise UserError where a shard of the training or test split is missing or damaged."""
    for path in dict.fromkeys(
            shard.path for split in ("train", "test") for shard in store.shards(split)):
        store.check_file(path)


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


def check_classes(
    labels: Array, classes: Sequence[str], least: int, of_fold: Array | None = None
) -> None:
    """Raise UserError where a class has fewer than `least` of the rows that are trained on.

    Args:
        labels: (n,) of the training rows.
        of_fold: (n,) fold of each, of which one at a time is left out.
    """
    counts = np.bincount(labels, minlength=len(classes))
    if counts.min() < least:
        raise UserError(f"{counts.min()} of the {len(labels):,} training rows are "
                        f"{classes[int(counts.argmin())]}: {least} of each class are needed")
    if of_fold is None:
        return
    folds = of_fold.max() + 1
    for fold in range(folds):
        inside = np.bincount(labels[of_fold == fold], minlength=len(classes))
        if inside.min() == 0 or (counts - inside).min() < least:
            rarest = classes[int(inside.argmin())]
            raise UserError(f"fold {fold} of {folds} has {inside.min()} rows of {rarest} of "
                            f"{counts.min()}: give fewer --folds")


def draw_sample(ids: Array, fraction: float) -> Array:
    """Positions, ascending, of the reviews with the lowest hashes of their ids (n,): a smaller
    fraction draws some of the same reviews. At least one is drawn."""
    order = np.argsort(mix(ids ^ np.uint64(hash_key(0))), kind="stable")
    return np.sort(order[: max(1, round(fraction * len(ids)))])


def fold_of(ids: Array, folds: int) -> Array:
    """The fold (n,) of each review_id; reviews of one id are in one fold."""
    found: Array = (mix(ids ^ np.uint64(hash_key(1))) % np.uint64(folds)).astype(np.int64)
    return found


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
