"""Labels that are likely wrong, by confident learning (Northcutt, Jiang and Chuang 2021).

A class's threshold is the mean probability of the class over the reviews that have its label. A
review is likely to be of another class where the probability of that one reaches its threshold;
of several, the most probable counts. The probabilities have to be of a model that did not train
on the review, as those of folds are.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from compare import raw_texts
from compare.slices import SHOWN, Judged
from reviews.metrics import probabilities
from reviews.storage.folders import whole_file

Array = np.ndarray
FILE = "wrong-labels.parquet"
LISTED = 20


def find_wrong_labels(labels: Array, chances: Array) -> tuple[Array, Array]:
    """Rows whose label is likely wrong, the surest first, and the likely class of each.

    Args:
        labels: (n,) numbers of the classes.
        chances: (n, C) probabilities.

    Surest are those with the largest difference of the likely class's probability and the label's.
    """
    classes = chances.shape[1]
    thresholds = np.array([
        chances[labels == number, number].mean() if (labels == number).any() else np.inf
        for number in range(classes)])
    reached = np.where(chances >= thresholds, chances, -1.0)
    likely = reached.argmax(1)
    rows = np.flatnonzero((reached.max(1) >= 0) & (likely != labels))
    margin = chances[rows, likely[rows]] - chances[rows, labels[rows]]
    rows = rows[np.argsort(-margin, kind="stable")]
    return rows, likely[rows]


def wrong_labels(
    folder: Path, model: str, runs: Sequence[Judged], classes: Sequence[str], texts: Path | None
) -> Mapping[str, Any]:
    """Findings of a model's folds about the labels; writes all of them to FILE in the folder.

    Returns:
        `model`; `n` of all reviews; `wrong`, how many labels are likely wrong; `pairs`, how many
        have a `label` and are likely `said`; `reviews`, the surest, with their text where it is
        known, else their review_id.
    """
    ids, labels, logits = (np.concatenate(part) for part in zip(*runs, strict=True))
    chances = probabilities(logits.reshape(len(ids), -1))
    rows, likely = find_wrong_labels(labels, chances)
    names = pa.array(list(classes))
    table = pa.table({
        "review_id": ids[rows], "label": names.take(pa.array(labels[rows])),
        "likely": names.take(pa.array(likely)), "probability": chances[rows, likely]})
    with whole_file(str(folder / FILE)) as file:
        pq.write_table(table, file)
    pairs = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(pairs, (labels[rows], likely), 1)
    first = rows[:LISTED]
    shown = (raw_texts.read(texts, ids[first]) if texts
             else [f"review_id {number}" for number in ids[first]])
    return {
        "model": model, "n": len(ids), "wrong": len(rows),
        "pairs": [{"label": classes[one], "said": classes[other], "n": int(pairs[one, other])}
                  for one, other in np.argwhere(pairs).tolist()],
        "reviews": [{"text": text if len(text) <= SHOWN else text[:SHOWN] + "…",
                     "label": classes[labels[row]], "said": classes[said],
                     "probability": float(chances[row, said])}
                    for row, said, text in zip(first, likely.tolist(), shown, strict=False)],
    }
