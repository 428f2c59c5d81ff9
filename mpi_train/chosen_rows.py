"""Training reviews chosen by a file: folds, samples, resamples.

`train --rows` names those to train on, `--validation-rows` those to validate on."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reviews.errors import UserError
from reviews.storage.files import reason
from reviews.store import Store

Array = np.ndarray

MOST_COUNT = 1000  # times that an epoch trains on one review


class ChosenRows:
    """Number of times that an epoch trains on each review; 0 for those that the file lacks.

    Args:
        file: Parquet with the columns review_id and count, a whole number. Where one review_id
            may stand for several reviews (`dedupe: none`), the column row as well: position in
            the training split, in the store's order, from 0.
        store: the store that the reviews are of.
        option: that names the file.

    Raises UserError where the file is none of this kind, or names a review that the store's
    training split has not.
    """

    def __init__(self, file: str | Path, store: Store, option: str = "--rows") -> None:
        table = _read(file, option)
        self._file = str(file)
        self.digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        self._by_row = store.recipe.selection.dedupe == "none"
        where = f"{option} {file}"
        ids, counts = (_numbers(table, name, where) for name in ("review_id", "count"))
        if len(counts) and not 0 <= counts.min() <= counts.max() <= MOST_COUNT:
            raise UserError(f"{file}: a count is a whole number from 0 to {MOST_COUNT}")
        key = _numbers(table, "row", where) if self._by_row else ids
        order = np.argsort(key)
        self._key, self._ids, self._counts = key[order], ids[order], counts[order].astype(np.int64)
        if (twice := np.flatnonzero(self._key[1:] == self._key[:-1])).size:
            name = "row" if self._by_row else "review_id"
            raise UserError(f"{file}: the {name} {self._key[twice[0]]} is there twice")

    @property
    def total(self) -> int:
        """Reviews of an epoch."""
        return int(self._counts.sum())

    def counts(self, ids: Array, first: int) -> Array:
        """Counts (n,) int64 of reviews of these ids (n,), at positions from `first` on."""
        key = np.arange(first, first + len(ids), dtype=np.uint64) if self._by_row else ids
        place = np.searchsorted(self._key, key).clip(max=max(0, len(self._key) - 1))
        if not len(self._key):
            return np.zeros(len(ids), np.int64)
        named = self._key[place] == key
        if self._by_row and (self._ids[place] != ids)[named].any():
            raise UserError(f"{self._file} has other review_ids than the store at its rows")
        return np.where(named, self._counts[place], 0)

    def check_all_found(self, ids: Array) -> None:
        """Raise UserError where the file names a review that is not among all of these."""
        if self._by_row:
            missing = self._key[self._key >= np.uint64(len(ids))]
        else:
            missing = np.setdiff1d(self._key, ids)
        if len(missing):
            raise UserError(f"{self._file} names {len(missing):,} reviews that are not in the "
                            f"store's training split, such as {missing[0]}")

    def check_apart(self, held_out: "ChosenRows") -> None:
        """Raise UserError where a review is in both files."""
        both = np.intersect1d(self._key[self._counts > 0], held_out._key[held_out._counts > 0])
        if len(both):
            raise UserError(f"{held_out._file} has {len(both):,} reviews that are trained on "
                            f"({self._file}), such as {both[0]}")


def _read(file: str | Path, option: str) -> pa.Table:
    if not Path(file).exists():  # of which Arrow says nothing but the name
        raise UserError(f"{option} {file}: there is no such file")
    try:
        return pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{option} {file}: {reason(error)}") from None


def _numbers(table: pa.Table, name: str, where: str) -> Array:
    """A column (n,) of whole numbers, uint64."""
    if name not in table.column_names:
        raise UserError(f"{where} has no column {name}")
    column = table[name]
    if not pa.types.is_integer(column.type) or column.null_count:
        raise UserError(f"{where}: {name} is not a column of whole numbers")
    numbers = column.to_numpy()
    if column.type != pa.uint64() and len(numbers) and numbers.min() < 0:
        raise UserError(f"{where}: {name} has negative numbers")
    return numbers.astype(np.uint64)
