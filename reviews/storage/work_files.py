"""Files of the work folder: parcels of Arrow tables, found by their location."""

import tempfile
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, TypedDict, TypeVar

import numpy as np
import pyarrow as pa

from reviews.storage.files import is_remote
from reviews.storage.folders import join, put
from reviews.storage.input_file import read_range

Array = np.ndarray
Found = TypeVar("Found")
SUFFIX = ".parcels"
_BUFFER = 1 << 20  # bytes, since most parcels are small
_READS = 8  # requests at a time, where each takes its time
_ALIGNED = 8  # bytes: parts of a parcel begin at multiples, so that arrays in them are aligned


class Location(TypedDict):
    """Location of some bytes."""

    file: str
    offset: int
    length: int


class WorkFileWriter:
    """One file of a task attempt; parcels are appended and then named by their location.

    For a work folder on another file system the file is written here, and put there whole.
    """

    def __init__(self, folder: str, kind: str) -> None:
        # Each attempt has a name of its own: those of lost attempts are never named.
        self.path = join(folder, f"{kind}-{uuid.uuid4().hex}{SUFFIX}")
        self._file: BinaryIO | None = None  # opened when there is something to write

    def write(self, *tables: pa.Table | pa.RecordBatch) -> Location:
        """Append tables and return their location.

        Of each there are the sizes of its schema and of its only record batch, and these two: an
        Arrow stream takes several times as long to open, and parcels are many and small.
        """
        file = self._opened()
        offset = file.tell()
        for table in tables:
            schema, batch = table.schema.serialize(), _one_batch(table).serialize()
            sizes = np.array([schema.size, batch.size], np.int64)
            file.writelines([sizes.data, schema, bytes(-schema.size % _ALIGNED), batch,
                             bytes(-batch.size % _ALIGNED)])
        return self._location(offset)

    def write_bytes(self, data: pa.Buffer | Array) -> Location:
        """Append what is no table, and return its location."""
        file = self._opened()
        offset = file.tell()
        file.write(data)  # type: ignore[arg-type]
        return self._location(offset)

    def _location(self, offset: int) -> Location:
        return {"file": self.path, "offset": offset, "length": self._opened().tell() - offset}

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = self._open()
        return self._file

    def _open(self) -> BinaryIO:
        if is_remote(self.path):
            return tempfile.NamedTemporaryFile(prefix="reviewmill-")  # type: ignore[return-value]
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        return open(self.path, "wb", buffering=_BUFFER)

    def close(self) -> None:
        """All bytes are in the file before any line that names them is emitted.

        Nothing waits for the disk: if the machine stops, the run and its folder are lost, but
        for the files of tasks that a later run goes on with (`mapreduce.resume`).
        """
        if self._file is None:
            return
        if is_remote(self.path):
            self._file.flush()
            put(Path(self._file.name), self.path)
        self._file.close()


def read_bytes(location: Location) -> bytes:
    """The bytes of a location."""
    file, length = location["file"], location["length"]
    data = read_range(file, location["offset"], length)
    assert len(data) == length, f"{file} is shorter than its line says"
    return data


def read_tables(location: Location) -> list[pa.Table]:
    """The tables of one parcel, their columns in one piece each."""
    data = pa.py_buffer(read_bytes(location))
    tables, at = [], 0
    while at < data.size:
        parts, sizes = [], np.frombuffer(data, np.int64, 2, at)
        at += sizes.nbytes
        for size in sizes.tolist():
            parts.append(data.slice(at, size))
            at += size + -size % _ALIGNED
        schema, batch = _schema(parts[0].to_pybytes()), parts[1]
        tables.append(pa.Table.from_batches([pa.ipc.read_record_batch(batch, schema)]))
    return tables


@lru_cache(64)
def _schema(data: bytes) -> pa.Schema:
    """The schema that these bytes are: nearly all parcels of a job have the same few."""
    return pa.ipc.read_schema(pa.py_buffer(data))


def _one_batch(table: pa.Table | pa.RecordBatch) -> pa.RecordBatch:
    if isinstance(table, pa.RecordBatch):
        return table
    columns = [column.combine_chunks() for column in table.columns]
    return pa.RecordBatch.from_arrays(columns, schema=table.schema)


def read_all(
    read: Callable[[Location], Found], locations: Sequence[Location]
) -> list[Found]:
    """Contents of these locations, as `read` finds them, in this order."""
    if any(is_remote(location["file"]) for location in locations):
        with ThreadPoolExecutor(_READS) as pool:
            return list(pool.map(read, locations))
    return list(map(read, locations))
