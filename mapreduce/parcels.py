"""Files of the work folder: parcels of rows with their words, found by offset and length."""

import tempfile
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from reviews.files import is_remote
from reviews.folders import join, put, read_range
from reviews.sequences import renumber
from reviews.word_table import WordTable

Array = np.ndarray
_READS = 8  # requests at a time, where each takes its time
_PACKED = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_PLAIN = pa.ipc.IpcWriteOptions(use_threads=False)


@dataclass(frozen=True)
class Ragged:
    """Word ids of n rows: row i is values[ends[i - 1]:ends[i]]."""

    values: Array  # (words,) uint16 or int32
    ends: Array  # (n,) int64


@dataclass(frozen=True)
class Parcel:
    """Rows, the ids of their words, and the words that the ids stand for.

    Row i has its ids in row i of `ids`, or where there is a column `row`, in the one it names.
    """

    rows: pa.Table
    ids: Ragged
    words: pa.Array

    def write(self, file: BinaryIO) -> None:
        """Append three Arrow streams to a file: the words, the rows, the ids."""
        values = self.ids.values.astype(id_type(len(self.words)), copy=False)
        offsets = np.concatenate([[0], self.ids.ends])
        lists = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))
        numbers_alone = all(map(pa.types.is_primitive, self.rows.schema.types))
        for table, options in (
            (pa.table({"word": self.words}), _PACKED),
            # Hashes are too mixed to be compressed, and so are ids of two bytes; half the bytes
            # of other ids are zeros.
            (self.rows, _PLAIN if numbers_alone else _PACKED),
            (pa.table({"ids": lists}), _PLAIN if values.itemsize == 2 else _PACKED),
        ):
            with pa.ipc.new_stream(file, table.schema, options=options) as writer:
                writer.write_table(table)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Parcel":
        """The parcel that `write` made the bytes of."""
        source = pa.BufferReader(data)
        words, rows, ids = (pa.ipc.open_stream(source).read_all() for _ in range(3))
        lists = ids["ids"].combine_chunks()
        ragged = Ragged(np.asarray(lists.values), np.asarray(lists.offsets)[1:])
        return cls(rows.combine_chunks(), ragged, words["word"].combine_chunks())


def id_type(words: int) -> np.dtype:
    """The type of ids of so many words, counted from 0."""
    return np.dtype(np.uint16 if words <= 1 << 16 else np.int32)


class ParcelWriter:
    """One file of a task attempt; parcels are appended and then named by their place.

    For a work folder on another file system the file is written here, and put there whole.
    """

    def __init__(self, folder: str, kind: str) -> None:
        # Each attempt has a name of its own: those of lost attempts are never named.
        self.path = join(folder, f"{kind}-{uuid.uuid4().hex}.parcels")
        self._file: BinaryIO | None = None  # opened when there is something to write

    def write(self, parcel: Parcel) -> dict[str, Any]:
        """Append a parcel and return where it is."""
        file = self._opened()
        offset = file.tell()
        parcel.write(file)
        return {"file": self.path, "offset": offset, "length": file.tell() - offset}

    def write_bytes(self, data: pa.Buffer) -> None:
        """Append what is no parcel."""
        self._opened().write(data)

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


def read_parcel(place: dict[str, Any]) -> Parcel:
    """The parcel that a line of the shuffle points to."""
    data = read_range(place["file"], place["offset"], place["length"])
    assert len(data) == place["length"], f"{place['file']} is shorter than its line says"
    return Parcel.from_bytes(data)


def read_parcels(places: Sequence[dict[str, Any]]) -> list[Parcel]:
    """The parcels at these places, in this order."""
    if any(is_remote(place["file"]) for place in places):
        with ThreadPoolExecutor(_READS) as pool:
            return list(pool.map(read_parcel, places))
    return [read_parcel(place) for place in places]


def merge(parcels: Sequence[Parcel]) -> tuple[pa.Table, Ragged, WordTable]:
    """All rows of the parcels, one after another, with ids of one common word table."""
    table = WordTable()
    numbers = [table.intern(parcel.words) for parcel in parcels]
    small = id_type(len(table))
    values = np.empty(sum(len(parcel.ids.values) for parcel in parcels), small)
    ends, first = [], 0
    for parcel, ids in zip(parcels, numbers, strict=True):
        size = len(parcel.ids.values)
        renumber(parcel.ids.values, ids.astype(small), values[first : first + size])
        ends.append(parcel.ids.ends + first)
        first += size
    rows = pa.concat_tables([parcel.rows for parcel in parcels]).combine_chunks()
    return rows, Ragged(values, np.concatenate(ends)), table
