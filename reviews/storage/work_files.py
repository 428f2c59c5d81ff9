"""Files of the work folder: parcels of Arrow tables, found by their location."""

import tempfile
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
_READS = 8  # requests at a time, where each takes its time
_PACKED = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_PLAIN = pa.ipc.IpcWriteOptions(use_threads=False)


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

    def write(self, *tables: pa.Table) -> Location:
        """Append tables, an Arrow stream each, and return their location."""
        file = self._opened()
        offset = file.tell()
        for table in tables:
            # Hashes and counts are too mixed to be compressed.
            numbers_alone = all(map(pa.types.is_primitive, table.schema.types))
            options = _PLAIN if numbers_alone else _PACKED
            with pa.ipc.new_stream(file, table.schema, options=options) as writer:
                writer.write_table(table)
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
        return open(self.path, "wb")

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
    source = pa.BufferReader(read_bytes(location))
    tables = []
    while source.tell() < source.size():
        tables.append(pa.ipc.open_stream(source).read_all().combine_chunks())
    return tables


def read_all(
    read: Callable[[Location], Found], locations: Sequence[Location]
) -> list[Found]:
    """Contents of these locations, as `read` finds them, in this order."""
    if any(is_remote(location["file"]) for location in locations):
        with ThreadPoolExecutor(_READS) as pool:
            return list(pool.map(read, locations))
    return list(map(read, locations))
