"""Mutual information of feature columns and labels, from counts that add up over partitions.

Counts are whole numbers, so that the columns that are chosen depend on the training rows alone,
and not on what was counted where; an estimate by nearest neighbours, as scikit-learn's of numbers
is, would need all rows in one place.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Array = np.ndarray
BINS = 16  # of a number, with about equally many rows each
MANTISSA = 52 - 12  # bits of a float64 that are cleared: numbers are counted by the first 12
DIGITS = 9  # decimal places of mutual information, in nats: what differs by less is equal


def label_counts(values: pa.ChunkedArray, labels: Array) -> pa.Table:
    """Numbers of rows (`count`) by `value`, null where it is missing, and `label`.

    Args:
        values: (n,) strings, or float64, which are counted by their first binary digits.
        labels: (n,) uint8.
    """
    if pa.types.is_floating(values.type):
        bits = np.asarray(values.fill_null(0.0), np.float64).view(np.int64) >> MANTISSA << MANTISSA
        values = pa.array(bits.view(np.float64) + 0.0, mask=np.asarray(values.is_null()))
    table = pa.table({"value": values, "label": labels, "count": np.ones(len(labels), np.int64)})
    return merge_counts([table])


def merge_counts(tables: Sequence[pa.Table]) -> pa.Table:
    """Counts of several tables, added up; their order is left open."""
    every = pa.concat_tables(tables).group_by(["value", "label"], use_threads=False)
    return every.aggregate([("count", "sum")]).rename_columns(["value", "label", "count"])


def information(entry: Mapping[str, Any], counts: pa.Table, classes: int) -> list[float]:
    """Mutual information with the label, in nats, of each column of an entry of the encoding.

    Args:
        counts: as `label_counts` has them, of all training rows.
    """
    missing = np.asarray(counts["value"].is_null())
    if "values" in entry:
        found = pc.index_in(counts["value"], value_set=pa.array(entry["values"], pa.string()))
        column = np.asarray(found.fill_null(-1))
        members = [column == number for number in range(len(entry["values"]))]
        numbers = []
    else:
        values = np.asarray(counts["value"].fill_null(entry["mean"]), np.float64)
        members, numbers = [], [_binned(values, counts, classes)]
    for inside in (*members, missing):
        numbers.append(np.stack([_by_label(counts, inside, classes),
                                 _by_label(counts, ~inside, classes)]))
    return [_information(table) for table in numbers]


def _by_label(counts: pa.Table, members: Array, classes: int) -> Array:
    """Rows of each label (C,) among some of the counts (n,) bool."""
    labels, numbers = np.asarray(counts["label"]), np.asarray(counts["count"])
    found = np.zeros(classes, np.int64)
    np.add.at(found, labels[members], numbers[members])
    return found


def _binned(values: Array, counts: pa.Table, classes: int) -> Array:
    """Rows (BINS, C) by bin of the values (n,) and label: a bin ends where it has its share of the
    rows, and equal values are in one."""
    numbers = np.asarray(counts["count"])
    distinct, at = np.unique(values, return_inverse=True)
    rows = np.zeros(len(distinct), np.int64)
    np.add.at(rows, at, numbers)
    before = np.cumsum(rows) - rows
    bins = before * BINS // max(1, int(rows.sum()))
    found = np.zeros((BINS, classes), np.int64)
    np.add.at(found, (bins[at], np.asarray(counts["label"])), numbers)
    return found


def _information(table: Array) -> float:
    """Mutual information of rows and columns of a table of counts, in nats, less what it is on
    average where there is none (Miller 1955): numbers have more bins than a column of 0 and 1. It
    may be below 0, and is lowest for a column that never changes."""
    table = table[table.any(1)][:, table.any(0)].astype(np.float64)
    n = table.sum()
    if not n:
        return 0.0
    independent = np.outer(table.sum(1), table.sum(0)) / n
    some = table > 0
    found = (table[some] * np.log(table[some] / independent[some])).sum() / n
    bias = (max(2, table.shape[0]) - 1) * (table.shape[1] - 1) / (2 * n)
    return round(float(found - bias), DIGITS)


def choose_best(
    entries: Sequence[dict[str, Any]], information: Sequence[Sequence[float]], number: int
) -> list[dict[str, Any]]:
    """The entries with `kept`, the numbers of those of their columns that are among the best of
    all (ties: the first), and the `information` of these."""
    columns = [(-value, entry, column) for entry, of_entry in enumerate(information)
               for column, value in enumerate(of_entry)]
    best = sorted((entry, column) for _, entry, column in sorted(columns)[:number])
    chosen = []
    for place, entry in enumerate(entries):
        kept = [column for owner, column in best if owner == place]
        chosen.append({**entry, "kept": kept,
                       "information": [information[place][column] for column in kept]})
    return chosen
