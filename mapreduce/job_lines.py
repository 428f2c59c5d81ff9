"""Lines that jobs hand to one another, as JSON. Each says by `kind` what it is.

    cut_files       piece | error                       ->  the driver, by role
    gather_reviews  mapper: rows | counts | empty | error   reducer: partition | no rows
    count_words     mapper: parcel | feature counts         reducer: words | feature
    encode_reviews  mapper: shard
    clean_reviews   cleaned

What a task writes lies in work files; a line says where.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

import orjson

from mapreduce.partitions.kept_keys import KeyCounts
from reviews.record import BadRecord
from reviews.storage.work_files import Location


class ErrorLine(TypedDict):
    """A user's error: input that cannot be read."""

    kind: Literal["error"]
    message: str


class PieceLine(TypedDict):
    """A piece of a long file: the fields of its InputSplit."""

    kind: Literal["piece"]
    split: dict[str, Any]


class BadRecordFields(TypedDict):
    """The fields of a BadRecord."""

    path: str
    line: int
    reason: str


def fields_of(record: BadRecord) -> BadRecordFields:
    """A record that could not be read, for a line."""
    return {"path": record.path, "line": record.line, "reason": record.reason}


class RowsLine(Location):
    """The words, without the common ones, and the rows of one task for one partition: two
    tables."""

    kind: Literal["rows"]
    common: str  # name of the common words
    ids: list[int]  # offset and length of the word ids in the same file, and bytes of an id


class CountsLine(TypedDict):
    """Counts of one thread of a task."""

    kind: Literal["counts"]
    counts: dict[str, int]  # records read, bytes, and records dropped by rule
    bad: dict[str, int]  # by reason
    examples: list[BadRecordFields]
    seen: list[Any]  # the fields of a ValuesSeen


class EmptyLine(TypedDict):
    """A file without a record."""

    kind: Literal["empty"]
    path: str


GatherLine = RowsLine | CountsLine | EmptyLine | ErrorLine


class PartitionCounts(TypedDict):
    """Numbers of one partition; partition 0 has the counts of all tasks."""

    counts: dict[str, int]
    bad: dict[str, int]
    examples: list[BadRecordFields]
    seen: list[Any]
    empty: list[str]  # files without a record
    errors: list[str]


class NoRowsLine(PartitionCounts):
    """A partition without rows."""

    kind: Literal["no rows"]


class PartitionLocation(Location):
    """Location of a partition's tables."""

    common: str  # name of the common words


class PartitionFileLine(PartitionLocation):
    """The file of a partition, as the later jobs read it."""

    kind: Literal["partition"]


class PartitionLine(PartitionCounts, PartitionFileLine):
    """A partition and its file; histograms by stratum of what the splits are cut by."""

    rows: int
    histograms: dict[str, str]
    given: list[int]  # rows that came with a split, by split
    given_splits: list[int]  # the same before duplicates were removed


PartitionResult = PartitionLine | NoRowsLine


class WordParcelLine(Location):
    """Words of one partition and their counts, for one partition of the words."""

    kind: Literal["parcel"]


class FeatureCounts(TypedDict):
    """Numbers by their moments, or categories by a table of values and their counts."""

    present: int
    mean: str  # hexadecimal, as the next: nothing is lost on the way, whatever reads the JSON
    squares: str
    values: Location | None  # of a category
    by_label: Location | None  # counts by value and label, where columns are chosen by them


class FeatureCountsLine(FeatureCounts):
    """A feature of one partition."""

    kind: Literal["feature counts"]
    feature: int
    partition: int


class WordsLine(TypedDict):
    """The words of a word partition that can be among the most frequent."""

    kind: Literal["words"]
    words: list[str]
    counts: list[int]
    distinct: int
    total: int


class VocabularyLine(TypedDict):
    """The vocabulary in its order, and what was counted: the lines of all word partitions."""

    kind: Literal["vocabulary"]
    words: list[str]
    distinct: int  # different words
    total: int


class FeatureLine(TypedDict):
    """A feature of all training rows: how it is encoded."""

    kind: Literal["feature"]
    feature: int
    present: int
    encoding: dict[str, Any]
    information: list[str]  # of its columns, hexadecimal; empty where all are stored


class ShardLine(TypedDict):
    """A shard of the store."""

    kind: Literal["shard"]
    name: str
    file: dict[str, Any]  # sha256, bytes, and rows by split
    splits: dict[str, dict[str, Any]]  # statistics for the manifest
    unused: int  # rows of no split
    keys: dict[str, KeyCounts]


class CleanedLine(TypedDict):
    """Counts of one file of cleaned texts."""

    kind: Literal["cleaned"]
    counts: dict[str, int]
    bad: dict[str, int]
    seen: list[Any]
    empty: list[str]


def partition_lines(pairs: Sequence[tuple[int, PartitionResult]]) -> list[bytes]:
    """Input lines of jobs 2 and 3, one for each partition file."""
    return [
        orjson.dumps(number) + b"\t" + orjson.dumps(
            {key: line[key] for key in ("kind", "file", "offset", "length", "common")})
        for number, line in pairs
        if line["kind"] == "partition"
    ]


def write_pairs(path: Path, pairs: Sequence[tuple[Any, Any]]) -> Path:
    """A file of what a job put out, for the jobs that follow."""
    path.write_bytes(b"".join(
        orjson.dumps(number) + b"\t" + orjson.dumps(value) + b"\n" for number, value in pairs))
    return path
