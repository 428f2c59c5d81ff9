"""Parquet: one row a review. Row groups can be read apart from each other."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds
from numpy.typing import NDArray

from reviews.corpora.columns import CODE, Column
from reviews.corpora.fields import FOR_TRAINING, Reading, choose_names
from reviews.corpora.json.values import FALSE, NULL, NUMBER, OTHER, STRING, TRUE
from reviews.corpora.utf8 import compiled, utf8_valid
from reviews.errors import UserError
from reviews.recipe import Recipe
from reviews.storage.input_file import open_input
from reviews.text.strings import string_buffers

if TYPE_CHECKING:
    import pyarrow.parquet

MAGIC = b"PAR1"
_SNIFFED_ROWS = 1000
_INVALID_UTF8 = CODE["invalid_utf8"]


class Parquet:
    """Reads the wanted columns of some row groups."""

    def __init__(self, path: str, recipe: Recipe, reading: Reading = FOR_TRAINING) -> None:
        self._path = path
        self._file = open_parquet(path)
        names = choose_names(path, recipe, self._samples(), reading).roles()
        self.labelled = "label" in names
        self._names = names

    def _samples(self) -> list[dict[str, Any]]:
        """The first rows; columns that hold nothing there are said to be there all the same."""
        fields = self._file.schema_arrow.names
        # Values of two kinds are enough to see which columns are texts.
        texts = {f.name for f in self._file.schema_arrow if _is_text(f.type)}
        try:
            for batch in self._file.iter_batches(_SNIFFED_ROWS, columns=fields, use_threads=False):
                valid = {name: batch[name].is_valid().to_pylist() for name in fields}
                return [
                    {name: ("" if name in texts else 0) if valid[name][row] else None
                     for name in fields}
                    for row in range(len(batch))
                ]  # fmt: skip
        except (pa.ArrowException, OSError) as error:
            raise _damaged(self._path, error) from None
        return [dict.fromkeys(fields, "")] if fields else []

    def batches(
        self, first: int, groups: int, rows: int
    ) -> Iterator[tuple[dict[str, Column], NDArray[np.uint8], int]]:
        """Columns by part of the review, reasons (n), and bytes, of at most `rows` rows each."""
        wanted = sorted(set(self._names.values()))
        last = self._file.num_row_groups if groups < 0 else first + groups
        try:
            for batch in self._file.iter_batches(
                rows, row_groups=list(range(first, last)), columns=wanted, use_threads=False
            ):
                reasons = np.zeros(len(batch), np.uint8)
                columns = {name: _column(batch[name], reasons) for name in wanted}
                yield (
                    {role: columns[name] for role, name in self._names.items()},
                    reasons,
                    batch.nbytes,
                )
        except (pa.ArrowException, OSError) as error:
            raise _damaged(self._path, error) from None

    def row_of(self, first: int) -> int:
        """The number of rows before a row group."""
        return sum(self._file.metadata.row_group(i).num_rows for i in range(first))


def open_parquet(path: str) -> "pyarrow.parquet.ParquetFile":
    """The file, or a UserError that names it."""
    from pyarrow.parquet import ParquetFile  # not in the start of a run without Parquet

    try:
        return ParquetFile(open_input(path), page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def group_sizes(path: str) -> list[int]:
    """The inflated bytes of each row group."""
    meta = open_parquet(path).metadata
    return [meta.row_group(i).total_byte_size for i in range(meta.num_row_groups)]


def cut_groups(sizes: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Runs of row groups (first, count), each of about `most` bytes or one group."""
    runs: list[tuple[int, int]] = []
    total = 0
    for group, size in enumerate(sizes):
        if runs and total + size <= most:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
            total += size
        else:
            runs.append((group, 1))
            total = size
    return runs


def _damaged(path: str, error: Exception) -> UserError:
    return UserError(f"{path}: damaged Parquet file: {' '.join(str(error).split())}")


def _is_text(kind: pa.DataType) -> bool:
    if kinds.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind)
        or kinds.is_binary(kind) or kinds.is_large_binary(kind)
    )  # fmt: skip


def _column(values: pa.Array, reasons: NDArray[np.uint8]) -> Column:
    """One column (n) as the other formats give it; strings that are no UTF-8 get their reason."""
    n = len(values)
    valid = np.asarray(values.is_valid())
    nothing = pa.array([""], pa.string()).take(pa.array(np.zeros(n, np.int8)))
    numbers = np.zeros(n)
    if kinds.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    if _is_text(kind):
        raw = values.cast(pa.binary()).fill_null(b"")
        wrong = _invalid(raw)
        if wrong.any():
            reasons[wrong & valid] = _INVALID_UTF8
            raw = pc.if_else(pa.array(wrong), pa.scalar(b"", pa.binary()), raw)
        return Column(_kinds(valid, STRING), numbers, raw.cast(pa.string()))
    if kinds.is_boolean(kind):
        truth = np.asarray(values.fill_null(False))
        return Column(np.where(truth, TRUE, _kinds(valid, FALSE)).astype(np.uint8), numbers,
                      nothing)
    if kinds.is_integer(kind):
        strings = values.cast(pa.string()).fill_null("")
        numbers = np.asarray(values.cast(pa.float64(), safe=False).fill_null(0))
        return Column(_kinds(valid, NUMBER), numbers, strings)
    if kinds.is_floating(kind) or kinds.is_decimal(kind):
        numbers = np.asarray(values.cast(pa.float64()).fill_null(np.nan))
        # pandas writes what is missing as NaN.
        return Column(_kinds(~np.isnan(numbers), NUMBER), numbers, nothing)
    if kinds.is_timestamp(kind) or kinds.is_date(kind):
        moments = values.cast(pa.timestamp("us", kind.tz if kinds.is_timestamp(kind) else None))
        numbers = np.asarray(moments.cast(pa.int64()).fill_null(0)) / 1e6
        return Column(_kinds(valid, NUMBER), numbers, nothing)
    return Column(_kinds(valid, OTHER), numbers, nothing)


def _kinds(valid: NDArray[np.bool_], kind: int) -> NDArray[np.uint8]:
    return np.where(valid, kind, NULL).astype(np.uint8)


def _invalid(raw: pa.Array) -> NDArray[np.bool_]:
    """Mask of the byte strings (n, no nulls) that are not UTF-8."""
    wrong = np.zeros(len(raw), np.bool_)
    data, offsets = string_buffers(raw)
    _find_invalid(data, offsets, wrong)
    return wrong


@compiled
def _find_invalid(data, offsets, wrong):
    for row in range(wrong.size):
        wrong[row] = not utf8_valid(data, offsets[row], offsets[row + 1])
