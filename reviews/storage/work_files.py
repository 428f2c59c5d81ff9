"""Files of the work folder: parcels of Arrow tables, found by file, offset and length."""

import tempfile
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import pyarrow as pa

from reviews.storage.files import is_remote
from reviews.storage.folders import join, put, read_range

Array = np.ndarray
Place = dict[str, Any]  # file, offset and length of some bytes
Found = TypeVar("Found")
_READS = 8  # requests at a time, where each takes its time
_PACKED = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_PLAIN = pa.ipc.IpcWriteOptions(use_threads=False)


class WorkFileWriter:
    """One file of a task attempt; parcels are appended and then named by their place.

    For a work folder on another file system the file is written here, and put there whole.
    """

    def __init__(self, folder: str, kind: str) -> None:
        # Each attempt has a name of its own: those of lost attempts are never named.
        self.path = join(folder, f"{kind}-{uuid.uuid4().hex}.parcels")
        self._file: BinaryIO | None = None  # opened when there is something to write

    def write(self, *tables: pa.Table) -> Place:
        """Append tables, an Arrow stream each, and return where they are."""
        file = self._opened()
        offset = file.tell()
        for table in tables:
            # Hashes and counts are too mixed to be compressed.
            numbers_alone = all(map(pa.types.is_primitive, table.schema.types))
            options = _PLAIN if numbers_alone else _PACKED
            with pa.ipc.new_stream(file, table.schema, options=options) as writer:
                writer.write_table(table)
        return self._place(offset)

    def write_bytes(self, data: pa.Buffer | Array) -> Place:
        """Append what is no table, and return where it is."""
        file = self._opened()
        offset = file.tell()
        file.write(data)  # type: ignore[arg-type]
        return self._place(offset)

    def _place(self, offset: int) -> Place:
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

        Nothing waits for the disk: if the machine stops, the run and its folder are lost.
        """
        if self._file is None:
            return
        if is_remote(self.path):
            self._file.flush()
            put(Path(self._file.name), self.path)
        self._file.close()


def read_bytes(place: Place) -> bytes:
    """The bytes that a place says."""
    data = read_range(place["file"], place["offset"], place["length"])
    assert len(data) == place["length"], f"{place['file']} is shorter than its line says"
    return data


def read_tables(place: Place) -> list[pa.Table]:
    """The tables of one parcel, their columns in one piece each."""
    source = pa.BufferReader(read_bytes(place))
    tables = []
    while source.tell() < source.size():
        tables.append(pa.ipc.open_stream(source).read_all().combine_chunks())
    return tables


def read_all(read: Callable[[Place], Found], places: Sequence[Place]) -> list[Found]:
    """What `read` finds at these places, in this order."""
    if any(is_remote(place["file"]) for place in places):
        with ThreadPoolExecutor(_READS) as pool:
            return list(pool.map(read, places))
    return list(map(read, places))
