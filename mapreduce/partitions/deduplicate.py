"""One partition of reviews to distinct, labelled rows (design: Identity)."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapreduce.partitions.kept_keys import key_columns
from mapreduce.partitions.partition import Partition
from reviews.features import feature_columns
from reviews.labels import NO_LABEL, labels_from_ratings
from reviews.recipe import Recipe

Array = np.ndarray
CORPUS, VALIDATION, TEST = 0, 1, 2  # where a row came from: the corpus, or a given split


@dataclass
class DeduplicatedRows:
    """The rows that stay, ordered by identity, and why the others left."""

    kept: Array  # (n,) int64, indices of the partition's rows
    label: Array  # (n,) uint8
    rating: Array  # (n,) float32, NaN when there is none
    dropped: dict[str, int]


def deduplicate(partition: Partition, recipe: Recipe) -> DeduplicatedRows:
    """Remove overlap and duplicates, then set labels and drop the neutral ones."""
    rows = partition.rows
    identity = np.stack([np.asarray(rows["identity_a"]), np.asarray(rows["identity_b"])], 1)
    role = np.asarray(rows["role"])
    rating = np.asarray(rows["rating"].fill_null(np.nan), np.float32).copy()
    label = np.asarray(rows["label"].fill_null(NO_LABEL), np.uint8).copy()
    if recipe.selection.dedupe == "reviewer-product":
        key = np.stack([np.asarray(rows["key_a"]), np.asarray(rows["key_b"])], 1)
        keyed = np.asarray(rows["keyed"])
    else:
        key, keyed = identity, np.ones(len(role), bool)
    time = _times(rows)
    # The least important first: keys that are only kept decide nothing but which of them stay.
    others = [_ranks(rows[name])
              for name in (*key_columns(recipe.input).values(), *feature_columns(recipe.input),
                           "product", "reviewer")
              if name in rows.column_names and name != "time"]
    dropped = {}

    keep = ~_overlap(key, keyed, role)
    dropped["overlap"] = int((~keep).sum())
    subject = np.flatnonzero(keep & (role == CORPUS) & keyed)
    if recipe.selection.dedupe == "text":
        first, rating_mode, label_mode = _merge_texts(
            subject, key, time, rating, label, others
        )
        keep[subject] = False
        keep[first] = True
        rating[first], label[first] = rating_mode, label_mode
        dropped["duplicate"] = len(subject) - len(first)
    elif recipe.selection.dedupe == "reviewer-product":
        first = _earliest(subject, key, time, rating, others, partition)
        keep[subject] = False
        keep[first] = True
        dropped["duplicate"] = len(subject) - len(first)

    # A label that came with the review wins over what its rating says.
    label = np.where(label == NO_LABEL, labels_from_ratings(rating, recipe.labels), label)
    neutral = keep & (label == NO_LABEL)
    dropped["neutral"] = int(neutral.sum())
    if recipe.selection.dedupe == "text" and (role == CORPUS).all():
        kept = first[~neutral[first]]  # in order, and no two identities are equal
    else:
        # Equal identities are numbered in order of their other fields.
        fields = (*others, label, _nan_last(rating), time, role)
        kept = _ordered(np.flatnonzero(keep & ~neutral), fields, identity)
    return DeduplicatedRows(kept, label[kept], rating[kept], dropped)


def strata(identity: Array, label: Array) -> Array:
    """The label (n,) uint8 by which a row is split: the mode among equal identities.

    Rows are ordered by identity; ties go to the lower label.
    """
    out = label.copy()
    starts = _starts(identity)
    sizes = np.diff(np.append(starts, len(label)))
    # Nearly all identities stand alone.
    for start, size in zip(starts[sizes > 1], sizes[sizes > 1], strict=True):
        out[start : start + size] = np.bincount(label[start : start + size]).argmax()
    return out


def _times(rows: pa.Table) -> Array:
    """Seconds (n,) int64; rows without a time come last."""
    if "time" not in rows.column_names:
        return np.zeros(len(rows), np.int64)
    return np.asarray(rows["time"].fill_null(2**62), np.int64)


def _ranks(values: pa.ChunkedArray) -> Array:
    """The place (n,) int64 of each value among the distinct ones; null is last."""
    coded = values.combine_chunks().dictionary_encode()
    ranks = np.empty(len(coded.dictionary) + 1, np.int64)
    order = np.asarray(pc.sort_indices(coded.dictionary))
    ranks[order] = np.arange(len(order))
    ranks[-1] = len(order)
    return ranks[np.asarray(coded.indices.fill_null(len(order)), np.int64)]


def _ordered(rows: Array, fields: tuple[Array, ...], key: Array) -> Array:
    """The rows ordered by key (n, 2), those of equal keys by the fields, the last one first."""
    rows = np.sort(rows)
    first = key[rows, 0]
    order = np.argsort(first)
    ranked = first[order]
    same = ranked[1:] == ranked[:-1]
    tied = np.zeros(len(rows), bool)
    tied[1:] |= same
    tied[:-1] |= same
    # Few keys are equal: only these are sorted by everything.
    some = np.sort(order[tied])
    chosen = rows[some]
    order[tied] = some[
        np.lexsort((*(field[chosen] for field in fields), key[chosen, 1], key[chosen, 0]))
    ]
    return rows[order]


def _nan_last(values: Array) -> Array:
    return np.where(np.isnan(values), np.inf, values)


def _starts(key: Array) -> Array:
    """Starts of the runs of equal keys (n, 2)."""
    if not len(key):
        return np.zeros(0, np.int64)
    new = np.append(True, (key[1:] != key[:-1]).any(1))
    return np.flatnonzero(new)


def _overlap(key: Array, keyed: Array, role: Array) -> Array:
    """Mask of the rows that equal one of a given split to which theirs yields: training yields to
    validation, both to test."""
    out = np.zeros(len(role), bool)
    if not (role != CORPUS).any():
        return out
    order = np.lexsort((-role.astype(np.int8), key[:, 1], key[:, 0]))
    order = order[keyed[order]]
    if not len(order):
        return out
    starts = _starts(key[order])
    highest = role[order][starts]
    sizes = np.diff(np.append(starts, len(order)))
    out[order] = role[order] < np.repeat(highest, sizes)
    return out


def _merge_texts(
    subject: Array, key: Array, time: Array, rating: Array, label: Array, others: list[Array]
) -> tuple[Array, Array, Array]:
    """One row for each text: the earliest one, with the mode of the ratings and labels."""
    order = _ordered(subject, (*others, time), key)
    starts = _starts(key[order])
    sizes = np.diff(np.append(starts, len(order)))
    first = order[starts]
    ratings, labels = rating[first], label[first]
    # Nearly all texts stand alone; only the others have to be counted.
    several = np.flatnonzero(sizes > 1)
    group = np.repeat(np.arange(len(several)), sizes[several])
    rows = order[np.repeat(sizes > 1, sizes)]
    modes = _modes(group, _nan_last(rating[rows]), len(several), np.inf)
    ratings[several] = np.where(np.isinf(modes), np.nan, modes)
    labels[several] = _modes(group, label[rows].astype(np.float64), len(several), NO_LABEL)
    return first, ratings, labels


def _modes(group: Array, values: Array, groups: int, missing: float) -> Array:
    """The most frequent value of each group, the lower one of a tie; missing ones only count
    where there is nothing else."""
    out = np.full(groups, missing, np.float64)
    present = values != missing
    group, values = group[present], values[present]
    order = np.lexsort((values, group))
    group, values = group[order], values[order]
    pairs = np.stack([group.astype(np.float64), values], 1)
    starts = _starts(pairs)
    counts = np.diff(np.append(starts, len(group)))
    # Last write wins: ascending counts, then descending values.
    best = np.lexsort((-values[starts], counts))
    out[group[starts][best]] = values[starts][best]
    return out


def _earliest(
    subject: Array, key: Array, time: Array, rating: Array, others: list[Array],
    partition: Partition,
) -> Array:
    """One row for each reviewer and product: the earliest, then the smallest by (rating, text)."""
    order = _ordered(subject, (*others, _nan_last(rating), time), key)
    starts = _starts(key[order])
    first = order[starts]
    ratings = _nan_last(rating)
    group = np.repeat(np.arange(len(first)), np.diff(np.append(starts, len(order))))
    head = first[group]
    tied = (time[order] == time[head]) & (ratings[order] == ratings[head])
    tied &= (np.bincount(group[tied], minlength=len(first)) > 1)[group]
    # Few groups have a tie, and only for these are texts read.
    smallest: dict[int, list[str]] = {}
    rows = order[tied].tolist()
    for number, row, text in zip(group[tied].tolist(), rows, partition.texts(rows), strict=True):
        if number not in smallest or text < smallest[number]:
            smallest[number], first[number] = text, row
    return first
