"""Predictions of a store's split in Parquet: review_id, label, logits, probability of each row.

`logits` has one number for the second of two classes, or one for each class; `probability` one
for each class, which add up to 1.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reviews.metrics import probabilities
from reviews.storage.folders import whole_file

Array = np.ndarray


def write_predictions(
    path: str, ids: Array, labels: Array, logits: Array, classes: Sequence[str]
) -> None:
    """Write the file, whole or not at all.

    Args:
        path: local, or an address.
        ids, labels: (n,) review_id, and numbers of the true classes.
        logits: (n,) or (n, C).
    """
    wide = logits.reshape(len(labels), -1)
    found = probabilities(wide)
    table = pa.table({
        "review_id": ids,
        "label": pa.array(list(classes)).take(pa.array(labels)),
        "logits": pa.FixedSizeListArray.from_arrays(wide.ravel(), wide.shape[1]),
        "probability": pa.FixedSizeListArray.from_arrays(found.ravel(), found.shape[1]),
    })
    with whole_file(path) as file:
        pq.write_table(table, file)


def read_predictions(path: Path, classes: Sequence[str]) -> tuple[Array, Array, Array]:
    """review_id, label (n,) and logits, (n,) for two classes by one output, else (n, C); in the
    order of review_id and label, which is the same for every model."""
    table = pq.read_table(path)
    ids = table["review_id"].to_numpy()
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers[name] for name in table["label"].to_pylist()], np.int64)
    logits = np.array(table["logits"].to_pylist(), np.float64)
    order = np.lexsort((labels, ids))
    logits = logits[:, 0] if logits.shape[1] == 1 else logits
    return ids[order], labels[order], logits[order]
