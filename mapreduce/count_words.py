"""Job 2: how often each word occurs in the training rows.

Input and --gathered are the output of job 1; the output has one line for each partition of the
words: those that can be among the most frequent, their counts, and the totals of the partition.
One more line for each feature says how it is encoded.

    python -m mapreduce.count_words -r local --gathered gathered --work-dir work gathered > words
"""

import itertools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from mapreduce.feature_counts import count_feature, merge_feature
from mapreduce.job import ReviewsJob
from mapreduce.job_lines import (
    FeatureCountsLine,
    FeatureLine,
    NoRowsLine,
    PartitionFileLine,
    WordParcelLine,
    WordsLine,
)
from mapreduce.partitions.gather_summary import GatherSummary
from mapreduce.partitions.partition import Partition
from reviews.features import features_of
from reviews.runtime.progress import PROGRESS
from reviews.storage.folders import join
from reviews.storage.work_files import WorkFileWriter, read_tables
from reviews.text.sequences import count_ids
from reviews.text.strings import hash_strings
from reviews.text.word_table import WordTable, grown

Array = np.ndarray

# One word partition for so many partitions of rows.
ROW_PARTITIONS = 16
MOST_WORDS = 1 << 20  # different words that a task counts before it writes them
NO_WORDS = pa.array([], pa.string())


class CountWords(ReviewsJob):
    """Partition files to the most frequent words of the training split."""

    REDUCES_LITTLE = True

    def configure_args(self) -> None:
        super().configure_args()
        self.add_file_arg("--gathered", required=True, help="output of job 1")

    def mapper_init(self) -> None:
        self.gathered = GatherSummary.read(self.options.gathered, self.recipe)
        self.parts = word_partitions(self.gathered.partitions)
        self.counted = _Counted(self.common_words.words)

    def mapper(
        self, partition: int, line: PartitionFileLine | NoRowsLine
    ) -> Iterator[tuple[int, WordParcelLine | FeatureCountsLine]]:
        """One partition: its word counts are added to those of the task."""
        if line["kind"] == "no rows":
            return
        found = Partition.read(line, self.common_words)
        train = np.flatnonzero(self.gathered.splits(found.rows) == 0)
        self.counted.add(found.words, *count_words(found, train))
        # What is kept of a task is what its line has put out.
        if self.options.finished or len(self.counted.table) >= MOST_WORDS:
            yield from self._parcels()
        writer = WorkFileWriter(join(self.work, "words"), "task")
        labels = (np.asarray(found.rows["label"])[train]
                  if self.recipe.input.best_features else None)
        for number, feature in enumerate(features_of(self.recipe.input)):
            values = found.rows[f"feature_{number}"].take(pa.array(train))
            yield self.parts + number, {
                "kind": "feature counts", "feature": number, "partition": int(partition),
                **count_feature(values, labels, feature, writer)}
        writer.close()
        PROGRESS.add(1)

    def mapper_final(self) -> Iterator[tuple[int, WordParcelLine]]:
        """The task's word counts, in parcels by word partition."""
        yield from self._parcels()

    def _parcels(self) -> Iterator[tuple[int, WordParcelLine]]:
        """Write what is counted, and forget it."""
        words, counts = self.counted.take()
        part = hash_strings(words)[:, 0] % np.uint64(self.parts)
        writer = WorkFileWriter(join(self.work, "words"), "task")
        for number in range(self.parts):
            here = np.flatnonzero(part == number)
            if len(here):
                table = pa.table({"word": words.take(pa.array(here)), "count": counts[here]})
                yield number, {"kind": "parcel", **writer.write(table)}
        writer.close()

    def reducer(
        self, part: int, lines: Iterator[WordParcelLine | FeatureCountsLine]
    ) -> Iterator[tuple[int, WordsLine | FeatureLine]]:
        """One word partition, or one feature."""
        first = next(lines)
        if first["kind"] == "feature counts":
            yield part, merge_feature([first, *lines], self.recipe)
        else:
            yield part, self._merge_words(itertools.chain([first], lines))

    def _merge_words(self, parcels: Iterator[WordParcelLine]) -> WordsLine:
        """Add up, and pass on what can be in the vocabulary."""
        every = _Counted()
        for parcel in parcels:
            words, found = read_tables(parcel)[0].columns
            every.add(words.combine_chunks(), np.asarray(found))
        words, counts = every.take()
        size = self.recipe.encoding.vocabulary_size
        # Only words that are at least as frequent as the last one that fits can matter.
        least = np.partition(counts, -size)[-size] if len(counts) > size else 0
        some = np.flatnonzero(counts >= least)
        frequent = words.take(pa.array(some)).to_pylist()
        return {"kind": "words", "words": frequent, "counts": counts[some].tolist(),
                "distinct": len(counts), "total": int(counts.sum())}


class _Counted:
    """Words and how often they occur, added up over many lists of them."""

    def __init__(self, first: pa.Array = NO_WORDS) -> None:
        """first: the words that come first in the table."""
        self.first = first
        self._begin()

    def _begin(self) -> None:
        self.table = WordTable()
        self.table.intern(self.first)
        self.counts = np.zeros(max(1 << 12, 2 * len(self.table)), np.int64)

    def add(self, words: pa.Array, counts: Array, of_first: Array | None = None) -> None:
        """Add counts (n,) of distinct words, and those of the first ones."""
        ids = self.table.intern(words)
        if len(self.table) > len(self.counts):
            self.counts = grown(self.counts, 2 * len(self.table))
        self.counts[ids] += counts
        if of_first is not None:
            self.counts[: len(of_first)] += of_first

    def take(self) -> tuple[pa.Array, Array]:
        """All words that occur and their counts (n,) int64; nothing is counted any more."""
        counts, words = self.counts[: len(self.table)], self.table.words()
        there = np.flatnonzero(counts)
        self._begin()
        return words.take(pa.array(there)), counts[there]


def count_words(partition: Partition, rows: Array) -> tuple[Array, Array]:
    """Occurrences (n,) int64 of each word of a partition in the chosen rows, and (c,) of each
    common word."""
    rows = rows[np.argsort(np.asarray(partition.rows["first"])[rows])]  # as they lie in memory
    common = len(partition.common.words)
    of_numbers = np.zeros(common + len(partition.numbers), np.int64)
    count_ids(*partition.ids().take(rows).parts(), of_numbers)
    counts = np.zeros(len(partition.words), np.int64)
    np.add.at(counts, partition.numbers, of_numbers[common:])
    return counts, of_numbers[:common]


def word_partitions(partitions: int) -> int:
    """The number of partitions of the words, for that of the rows."""
    return -(-partitions // ROW_PARTITIONS)


if __name__ == "__main__":
    CountWords.run()
