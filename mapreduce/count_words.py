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
from reviews.text.word_table import WordTable

Array = np.ndarray

# One word partition for so many partitions of rows.
ROW_PARTITIONS = 16


class CountWords(ReviewsJob):
    """Partition files to the most frequent words of the training split."""

    def configure_args(self) -> None:
        super().configure_args()
        self.add_file_arg("--gathered", required=True, help="output of job 1")

    def mapper_init(self) -> None:
        self.gathered = GatherSummary.read(self.options.gathered, self.recipe)

    def mapper(
        self, partition: int, line: PartitionFileLine | NoRowsLine
    ) -> Iterator[tuple[int, WordParcelLine | FeatureCountsLine]]:
        """One partition: its word counts into a file, in parcels by word partition."""
        if line["kind"] == "no rows":
            return
        found = Partition.read(line)
        train = np.flatnonzero(self.gathered.splits(found.rows) == 0)
        counts = count_words(found, train)
        parts = word_partitions(self.gathered.partitions)
        part = hash_strings(found.words)[:, 0] % np.uint64(parts)
        writer = WorkFileWriter(join(self.work, "words"), "task")
        for number in range(parts):
            here = np.flatnonzero((part == number) & (counts > 0))
            if len(here):
                words = found.words.take(pa.array(here))
                table = pa.table({"word": words, "count": counts[here]})
                yield number, {"kind": "parcel", **writer.write(table)}
        for number, feature in enumerate(features_of(self.recipe.input)):
            values = found.rows[f"feature_{number}"].take(pa.array(train))
            yield parts + number, {
                "kind": "feature counts", "feature": number, "partition": int(partition),
                **count_feature(values, feature, writer)}
        writer.close()
        PROGRESS.add(1)

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
        table = WordTable()
        counts = np.zeros(1 << 12, np.int64)
        for parcel in parcels:
            words, found = read_tables(parcel)[0].columns
            ids = table.intern(words.combine_chunks())
            if len(table) > len(counts):
                counts = np.concatenate([counts, np.zeros(2 * len(table), np.int64)])
            counts[ids] += np.asarray(found)
        counts = counts[: len(table)]
        size = self.recipe.encoding.vocabulary_size
        # Only words that are at least as frequent as the last one that fits can matter.
        least = np.partition(counts, -size)[-size] if len(counts) > size else 0
        some = np.flatnonzero(counts >= least)
        frequent = table.words().take(pa.array(some)).to_pylist()
        return {"kind": "words", "words": frequent, "counts": counts[some].tolist(),
                "distinct": len(counts), "total": int(counts.sum())}


def count_words(partition: Partition, rows: Array) -> Array:
    """Occurrences (n,) int64 of each word of a partition in the chosen rows."""
    rows = rows[np.argsort(np.asarray(partition.rows["first"])[rows])]  # as they lie in memory
    of_numbers = np.zeros(len(partition.numbers), np.int64)
    count_ids(*partition.ids().take(rows).parts(), of_numbers)
    counts = np.zeros(len(partition.words), np.int64)
    np.add.at(counts, partition.numbers, of_numbers)
    return counts


def word_partitions(partitions: int) -> int:
    """The number of partitions of the words, for that of the rows."""
    return -(-partitions // ROW_PARTITIONS)


if __name__ == "__main__":
    CountWords.run()
