"""Precision and recall of the first of two classes, by system."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from compare.slices import Judged
from reviews.metrics import precision_recall_table


def curves(
    judged: Mapping[str, Sequence[Judged]], classes: Sequence[str], folds: bool
) -> list[dict[str, Any]]:
    """For each system `model`, `class`, and the figures of `precision_recall_table`: of its first
    run, or of all folds together. Empty where there are more classes than two."""
    found = []
    for model, runs in judged.items():
        some = runs if folds else runs[:1]
        of_class = precision_recall_table(np.concatenate([run.labels for run in some]),
                                          np.concatenate([run.logits for run in some]), classes)
        if of_class:
            found.append({"model": model, "class": classes[0], **of_class[classes[0]]})
    return found
