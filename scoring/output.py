"""Files of predictions: Parquet, JSON lines or CSV by the suffix, or JSON lines on stdout."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from reviews.errors import UserError
from reviews.storage.files import is_remote
from reviews.storage.folders import names_below, whole_file

STANDARD_OUTPUT = "-"
SUFFIXES = (".parquet", ".jsonl", ".csv")


class Writer(Protocol):
    """Writer of blocks of predictions."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Write some rows."""


class _Arrow:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write(self, batch: pa.RecordBatch) -> None:
        """Write some rows."""
        self._writer.write_batch(batch)


class _JsonLines:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, batch: pa.RecordBatch) -> None:
        """Write some rows."""
        self._file.write(b"".join(orjson.dumps(row) + b"\n" for row in batch.to_pylist()))


def is_folder(path: str) -> bool:
    """True for the name of a folder of parts: one without a suffix."""
    return path != STANDARD_OUTPUT and "." not in path.rstrip("/").rsplit("/", 1)[-1]


def check_output(path: str, overwrite: bool) -> None:
    """Raise UserError for a file that predictions cannot be written to."""
    if path == STANDARD_OUTPUT:
        return
    if not path.endswith(SUFFIXES):
        raise UserError(f"--out {path}: its name ends in none of {', '.join(SUFFIXES)}; - is "
                        "standard output, a name without a suffix a folder of parts")
    if is_remote(path):
        folder, name = path.rsplit("/", 1)
        there = name in names_below(folder)
    else:
        there = Path(path).exists()
    if there and not overwrite:
        raise UserError(f"{path} exists already; --overwrite replaces it")


@contextlib.contextmanager
def open_output(path: str, schema: pa.Schema) -> Iterator[Writer]:
    """A writer of rows of this schema; the file is there, whole, when the block ends well."""
    if path == STANDARD_OUTPUT:
        yield _JsonLines(sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with whole_file(path) as local:
        if path.endswith(".jsonl"):
            with local.open("wb") as file:
                yield _JsonLines(file)
        elif path.endswith(".csv"):
            with pa.csv.CSVWriter(local, schema) as writer:
                yield _Arrow(writer)
        else:
            with parquet_writer(local, schema) as writer:
                yield _Arrow(writer)


def parquet_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of predictions."""
    return pq.ParquetWriter(path, schema, use_dictionary=["label", "file"])
