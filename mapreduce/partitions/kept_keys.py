"""Keys that a recipe keeps: reviewer, product, time and source, from raw reviews to a shard.

Names become 64-bit hashes: enough to bring the reviews of one reviewer, product or source
together, and to find a name that is known, but not to read who wrote a review.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reviews.recipe import InputFormat
from reviews.store import NO_KEY, NO_TIME
from reviews.text.strings import key_hashes

Array = np.ndarray
NAMED_SOURCES = 256  # with more of them, the manifest has no names of sources


class KeyCounts(TypedDict, total=False):
    """Number of stored rows that have a key; of sources also their names, by UTF-8 bytes."""

    rows: int
    names: list[str]


def key_columns(rules: InputFormat) -> dict[str, str]:
    """Names of the columns that carry the kept keys from job to job, by key."""
    return {key: key if key == "time" else f"kept_{key}" for key in rules.keep_keys}


def carried_keys(rules: InputFormat, reviews: pa.RecordBatch) -> dict[str, Any]:
    """The kept keys of a block but for the time, by the names of their columns: hashes (n,)
    uint64, and sources by name."""
    return {column: reviews[key] if key == "source" else key_hashes(reviews[key])
            for key, column in key_columns(rules).items() if key != "time"}


def stored_keys(rules: InputFormat, rows: pa.Table) -> dict[str, Array]:
    """The kept keys (n,) of a partition's rows, as a shard has them."""
    found = {}
    for key, column in key_columns(rules).items():
        values = rows[column]
        if key == "time":
            values = values.fill_null(NO_TIME)
        found[key] = key_hashes(values.combine_chunks()) if key == "source" else np.asarray(values)
    return found


def count_keys(rules: InputFormat, rows: pa.Table, stored: Array) -> dict[str, KeyCounts]:
    """Counts of the kept keys of the rows where `stored` (n,) bool says so."""
    counts: dict[str, KeyCounts] = {}
    for key, values in stored_keys(rules, rows).items():
        none = NO_TIME if key == "time" else NO_KEY
        counts[key] = {"rows": int((values[stored] != none).sum())}
        if key == "source":
            names = pc.unique(rows[key_columns(rules)[key]].filter(pa.array(stored)))
            counts[key]["names"] = _ordered(names.drop_null().to_pylist())
    return counts


def merge_counts(
    rules: InputFormat, parts: Sequence[Mapping[str, KeyCounts]]
) -> dict[str, KeyCounts]:
    """The counts of all shards."""
    merged: dict[str, KeyCounts] = {}
    for key in rules.keep_keys:
        merged[key] = {"rows": sum(part[key]["rows"] for part in parts)}
        if key == "source":
            names = {name for part in parts for name in part[key]["names"]}
            merged[key]["names"] = _ordered(names)
            if len(names) > NAMED_SOURCES:
                del merged[key]["names"]
    return merged


def _ordered(names: Any) -> list[str]:
    """Names by their UTF-8 bytes; one more than are kept tell that there are too many."""
    return sorted(names, key=str.encode)[: NAMED_SOURCES + 1]
