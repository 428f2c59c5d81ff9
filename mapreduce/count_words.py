"""Job 2: how often each word occurs in the training rows.

Input and --gathered are the output of job 1; the output has one line for each partition of the
words: those that can be among the most frequent, their counts, and the totals of the partition.
One more line for each feature says how it is encoded.

    python -m mapreduce.count_words -r local --gathered gathered --work-dir work gathered > words
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from mapreduce.feature_counts import count_feature, merge_feature
from mapreduce.gathered import Gathered
from mapreduce.job import ReviewsJob
from mapreduce.meter import METER
from mapreduce.parcels import Parcel, ParcelWriter, Ragged, read_parcel
from reviews.features import features_of
from reviews.folders import join
from reviews.sequences import count_ids
from reviews.strings import hash_strings
from reviews.word_table import WordTable

# One word partition for so many partitions of rows.
ROW_PARTITIONS = 16


class CountWords(ReviewsJob):
    """Partition files to the most frequent words of the training split."""

    def configure_args(self) -> None:
        super().configure_args()
        self.add_file_arg("--gathered", required=True, help="output of job 1")

    def mapper_init(self) -> None:
        self.gathered = Gathered.read(self.options.gathered, self.recipe)

    def mapper(self, partition: int, line: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
        """One partition: its word counts into a file, in parcels by word partition."""
        if "file" not in line:
            return
        parcel = read_parcel(line)
        train = np.flatnonzero(self.gathered.splits(parcel.rows) == 0)
        counts = np.zeros(len(parcel.words), np.int64)
        rows = np.sort(np.asarray(parcel.rows["row"])[train])  # as they lie in memory
        count_ids(parcel.ids.values, parcel.ids.ends, rows, counts)
        parts = word_partitions(self.gathered.partitions)
        part = hash_strings(parcel.words)[:, 0] % np.uint64(parts)
        writer = ParcelWriter(join(self.work, "words"), "task")
        for number in range(parts):
            here = np.flatnonzero((part == number) & (counts > 0))
            if len(here):
                table = pa.table({"count": counts[here]})
                one = np.arange(len(here), dtype=np.int32)
                words = Parcel(table, Ragged(one, one.astype(np.int64) + 1),
                               parcel.words.take(pa.array(here)))
                yield number, writer.write(words)
        for number, feature in enumerate(features_of(self.recipe)):
            values = parcel.rows[f"feature_{number}"].take(pa.array(train))
            line = {"feature": number, "partition": partition}
            yield parts + number, line | count_feature(values, feature, writer)
        writer.close()
        METER.add(1)

    def reducer(
        self, part: int, lines: Iterator[dict[str, Any]]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """One word partition, or one feature."""
        first = next(lines)
        if "feature" in first:
            yield part, merge_feature([first, *lines], self.recipe)
        else:
            yield part, self._merge_words(itertools.chain([first], lines))

    def _merge_words(self, places: Iterator[dict[str, Any]]) -> dict[str, Any]:
        """Add up, and pass on what can be in the vocabulary."""
        table = WordTable()
        counts = np.zeros(1 << 12, np.int64)
        for place in places:
            parcel = read_parcel(place)
            ids = table.intern(parcel.words)
            if len(table) > len(counts):
                counts = np.concatenate([counts, np.zeros(2 * len(table), np.int64)])
            counts[ids] += np.asarray(parcel.rows["count"])
        counts = counts[: len(table)]
        size = self.recipe.vocabulary_size
        # Only words that are at least as frequent as the last one that fits can matter.
        least = np.partition(counts, -size)[-size] if len(counts) > size else 0
        some = np.flatnonzero(counts >= least)
        words = table.words().take(pa.array(some)).to_pylist()
        return {"words": words, "counts": counts[some].tolist(),
                "distinct": len(counts), "total": int(counts.sum())}


def word_partitions(partitions: int) -> int:
    """The number of partitions of the words, for that of the rows."""
    return -(-partitions // ROW_PARTITIONS)


if __name__ == "__main__":
    CountWords.run()
