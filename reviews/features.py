"""Columns beside the text -> numbers of a model: `features` (n, F) float32 of a store.

A number, or a time in seconds, becomes (value - mean) / deviation; a category one column of 0
and 1 for each of its most frequent values. Mean, deviation and values are those of the training
rows. What is missing becomes 0, which is the mean, and 1 in a column of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reviews.recipe import InputFormat

Array = np.ndarray
KINDS = ("number", "category", "time")
MISSING = "missing"


@dataclass(frozen=True)
class Feature:
    """One entry of the recipe's `features`: a field, and how its values are read."""

    field: str
    kind: str  # one of KINDS


def features_of(rules: InputFormat) -> list[Feature]:
    """The features that the rules name, as FIELD or FIELD:KIND."""
    found = []
    for entry in rules.features:
        field, mark, kind = entry.rpartition(":")
        if not mark or kind not in KINDS:
            field, kind = entry, "number"
        found.append(Feature(field, kind))
    return found


def feature_columns(rules: InputFormat) -> list[str]:
    """Names of the features in a block of reviews: by number, float64 or strings."""
    return [f"feature_{number}" for number in range(len(rules.features))]


@dataclass(frozen=True)
class Numbers:
    """Present values, their mean, and the sum of their squared distances to it."""

    present: int
    mean: float
    squares: float

    @classmethod
    def of(cls, values: pa.ChunkedArray) -> "Numbers":
        """Those of a column of float64 and nulls."""
        there = np.asarray(values.drop_null(), np.float64)
        mean = float(there.mean()) if len(there) else 0.0
        return cls(len(there), mean, float(np.square(there - mean).sum()))

    def merge(self, other: "Numbers") -> "Numbers":
        """Those of both columns (Chan, Golub, LeVeque 1979)."""
        present = self.present + other.present
        if not present:
            return self
        step = other.mean - self.mean
        mean = self.mean + step * other.present / present
        between = step * step * self.present * other.present / present
        return Numbers(present, mean, self.squares + other.squares + between)

    def encoding(self, feature: Feature) -> dict[str, Any]:
        """As the manifest has it; a column that is always the same is only shifted."""
        scale = (self.squares / self.present) ** 0.5 if self.present else 0.0
        return {"field": feature.field, "kind": feature.kind, "mean": self.mean,
                "scale": scale or 1.0}


def category_encoding(
    feature: Feature, counts: Iterable[tuple[str, int]], size: int
) -> dict[str, Any]:
    """As the manifest has it: the most frequent values, ties by UTF-8 bytes ascending."""
    ordered = sorted(counts, key=lambda entry: (-entry[1], entry[0].encode()))
    return {"field": feature.field, "kind": feature.kind,
            "values": [value for value, _ in ordered[:size]]}


def column_names(entry: Mapping[str, Any]) -> list[str]:
    """Names of all columns of one entry of an encoding, before some of them are chosen."""
    field, values = entry["field"], entry.get("values")
    named = [field] if values is None else [f"{field}={value}" for value in values]
    return [*named, f"{field} {MISSING}"]


class Encoding:
    """Encoding of features as numbers; `entries` are those of the manifest's features.encoding.

    Of an entry with `kept`, numbers of its columns, only these are among the F.
    """

    def __init__(self, entries: Sequence[Mapping[str, Any]]) -> None:
        self.entries = list(entries)
        self.names: list[str] = []  # of the F columns
        self.width = 0  # number of columns that these were chosen from
        kept: list[int] = []
        for entry in self.entries:
            names = column_names(entry)
            of_entry = entry.get("kept", range(len(names)))
            self.names += [names[column] for column in of_entry]
            kept += [self.width + column for column in of_entry]
            self.width += len(names)
        self._kept = kept if len(kept) < self.width else None

    def encode(self, columns: Sequence[pa.Array | pa.ChunkedArray]) -> Array:
        """The features (n, F) float32 of columns (n) of a block, one for each entry."""
        out = np.zeros((len(columns[0]) if columns else 0, self.width), np.float32)
        first = 0
        for entry, column in zip(self.entries, columns, strict=True):
            missing = np.asarray(column.is_null())
            if "values" in entry:
                values = entry["values"]
                found = pc.index_in(column, value_set=pa.array(values, pa.string()))
                rows = np.flatnonzero(found.is_valid())
                out[rows, first + np.asarray(found.drop_null())] = 1
                first += len(values)
            else:
                numbers = np.asarray(column.fill_null(entry["mean"]), np.float64)
                out[:, first] = (numbers - entry["mean"]) / entry["scale"]
                first += 1
            out[:, first] = missing
            first += 1
        return out if self._kept is None else np.take(out, self._kept, axis=1)
