"""One partition: rows of many tasks, and where the word ids that these tasks wrote lie.

The ids are by far the largest part of a row. They are written once, by the task that made them,
and are read from there when they are counted and encoded. Frequent words have the same numbers
in all tasks (`common_words.py`), the others are numbered by the task.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from mapreduce.job_lines import PartitionLocation, RowsLine
from mapreduce.partitions.common_words import NO_COMMON_WORDS, CommonWords
from reviews.storage.files import is_remote
from reviews.storage.work_files import WorkFileWriter, read_all, read_bytes, read_tables
from reviews.text.sequences import Ragged
from reviews.text.word_table import WordTable

Array = np.ndarray
# The columns of rows that say where their ids lie.
OF_IDS = ("first", "size", "source")
NO_NUMBERS = np.zeros(0, np.int32)
_ID_TYPES = {2: np.dtype("<u2"), 4: np.dtype("<i4")}


@dataclass(frozen=True)
class Partition:
    """Rows, their distinct words, and what leads from the one to the other.

    Column `first` of the rows says where a row's ids begin among those of all sources, one
    behind the other, `size` how many they are, and `source` of whom. Id k is common word k, if
    there are as many; C + k of source s stands for words[numbers[base of s + k]].
    """

    rows: pa.Table
    common: CommonWords  # C of them
    words: pa.Array  # of the rows, without the common ones
    numbers: Array  # int32
    sources: pa.Table  # file, offset, length, width (bytes of an id), base

    @classmethod
    def of(cls, parcels: Sequence[RowsLine], common: CommonWords = NO_COMMON_WORDS) -> "Partition":
        """All rows of the tasks' parcels, one after another."""
        table = WordTable()
        every, numbers, sources = [], [], []
        base = 0
        for parcel, (words, rows) in zip(parcels, read_all(read_tables, parcels), strict=True):
            common.check(parcel["common"])
            offset, length, width = parcel["ids"]
            sources.append({"file": parcel["file"], "offset": offset, "length": length,
                            "width": width, "base": base})
            every.append(rows)
            if len(words):
                numbers.append(table.intern(words["word"].chunk(0)))
                base += len(words)
        rows = pa.concat_tables(every).combine_chunks()
        sizes = np.asarray(rows["size"], np.int64)
        source = np.repeat(np.arange(len(every), dtype=np.int32), list(map(len, every)))
        rows = rows.append_column("first", pa.array(np.cumsum(sizes) - sizes))
        return cls(rows.append_column("source", pa.array(source)), common, table.words(),
                   np.concatenate([NO_NUMBERS, *numbers]), pa.Table.from_pylist(sources))

    def ids(self) -> Ragged:
        """The word ids of the rows: each names a common word or an element of `numbers`, which
        follow these."""
        bases = np.asarray(self.sources["base"], np.int64)
        return Ragged(
            _read_ids(self.sources.to_pylist()), np.asarray(self.rows["first"]),
            np.asarray(self.rows["size"]), bases[np.asarray(self.rows["source"])],
            len(self.common.words),
        )

    def texts(self, rows: Sequence[int]) -> Iterator[list[str]]:
        """The words of each of the chosen rows."""
        if rows:
            ids, common = self.ids(), len(self.common.words)
            words = [*self.common.words.to_pylist(), *self.words.to_pylist()]
            numbers = np.concatenate([np.arange(common), self.numbers + common])
            for row in rows:
                yield [words[number] for number in numbers[ids.row(row)]]

    def write(self, writer: WorkFileWriter) -> PartitionLocation:
        """Append all of it, and return its location.

        Where each request takes its time the ids come along: one request then has them all.
        """
        kept = self
        if is_remote(writer.path):
            copies = [{**source, **writer.write_bytes(data)} for source, data in
                      zip(self.sources.to_pylist(), _read_each(self.sources), strict=True)]
            kept = replace(self, sources=pa.Table.from_pylist(copies))
        location = writer.write(kept.rows, pa.table({"word": kept.words}),
                                pa.table({"number": kept.numbers}), kept.sources)
        return {**location, "common": self.common.name}

    @classmethod
    def read(
        cls, location: PartitionLocation, common: CommonWords = NO_COMMON_WORDS
    ) -> "Partition":
        """Partition as `write` wrote it."""
        common.check(location["common"])
        rows, words, numbers, sources = read_tables(location)
        return cls(rows, common, words["word"].combine_chunks(), np.asarray(numbers["number"]),
                   sources)


def _read_each(sources: pa.Table) -> list[bytes]:
    return read_all(read_bytes, sources.to_pylist())


def _read_ids(sources: list[dict[str, Any]]) -> Array:
    """The ids of all sources, one behind the other, in the widest type of any."""
    joined = [dict(sources[0])]
    for source in sources[1:]:
        last = joined[-1]
        behind = {"file": last["file"], "offset": last["offset"] + last["length"],
                  "width": last["width"]}
        if behind.items() <= source.items():
            last["length"] += source["length"]
        else:
            joined.append(dict(source))
    parts = [np.frombuffer(data, _ID_TYPES[source["width"]])
             for data, source in zip(read_all(read_bytes, joined), joined, strict=True)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
