"""Job 3: partition files to HDF5 shards, and the manifest that makes a store of them.

Input and --gathered are the output of job 1, --words that of job 2.

    python -m mapreduce.encode_reviews -r inline --gathered gathered --words words \\
        --store store gathered
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from mapreduce.feature_counts import read_encoding
from mapreduce.job import ReviewsJob
from mapreduce.job_lines import (
    FeatureLine,
    NoRowsLine,
    PartitionFileLine,
    ShardLine,
    VocabularyLine,
    WordsLine,
)
from mapreduce.partitions.gather_summary import GatherSummary
from mapreduce.partitions.kept_keys import count_keys, merge_counts, stored_keys
from mapreduce.partitions.partition import Partition
from reviews.features import Encoding, feature_columns
from reviews.options import to_mapping
from reviews.recipe import SPLITS, Recipe
from reviews.runtime.progress import PROGRESS
from reviews.storage.folders import join, sha256, whole_file
from reviews.store import commit_store, empty_manifest, write_shard
from reviews.text.sequences import cut, room_for_words
from reviews.text.subwords import FILE as TOKENIZER
from reviews.text.subwords import Subwords
from reviews.vocabulary import Coding, given_vocabulary, most_frequent

Array = np.ndarray

# Upper bounds, in words, of the histogram of review lengths.
LENGTHS = [*range(10, 100, 10), *range(100, 500, 50), *range(500, 2001, 250), 5000, 10**9]


class EncodeReviews(ReviewsJob):
    """Partition files to a committed store."""

    KEPT = ("mapper",)  # the reducer makes the store, and takes no time
    REDUCES_LITTLE = True

    def configure_args(self) -> None:
        super().configure_args()
        self.add_file_arg("--gathered", required=True, help="output of job 1")
        self.add_file_arg("--words", required=True, help="output of job 2")
        self.add_passthru_arg("--store", required=True, help="folder of the store")
        self.add_file_arg("--vocabulary", help="words to use, in place of the most frequent")
        self.add_file_arg("--vectors", help="vectors of the ids, .npy, to put into the store")

    def _load(self) -> None:
        self.gathered = GatherSummary.read(self.options.gathered, self.recipe)
        counted = read_vocabulary_line(Path(self.options.words), self.recipe)
        self.vocabulary, self.distinct_words = counted["words"], counted["distinct"]
        if self.options.vocabulary:
            self.vocabulary = given_vocabulary(Path(self.options.vocabulary))
        self.encoding = read_encoding(Path(self.options.words), self.recipe)
        self.subwords = Subwords(self.tokenizer_file) if self.tokenizer_file else None
        self.coding = Coding(pa.array(self.vocabulary, pa.string()))
        if self.subwords:
            self.coding = self.subwords.coding

    def mapper_init(self) -> None:
        self._load()
        self.common_ids = self.coding.numbers(self.common_words.words)

    def mapper(
        self, number: int, line: PartitionFileLine | NoRowsLine
    ) -> Iterator[tuple[int, ShardLine]]:
        """One partition file to one shard."""
        if line["kind"] == "no rows":
            return
        partition = Partition.read(line, self.common_words)
        split = self.gathered.splits(partition.rows)
        shard = f"shards/part-{number:05d}.h5"
        columns, statistics = encode(
            partition, split, self.coding, self.common_ids, self.recipe, self.encoding)
        # Attempts of one task write the same bytes, so either may win the name.
        with whole_file(join(self.options.store, shard)) as file:
            write_shard(file, columns)
            size, digest = file.stat().st_size, sha256(file)
        rows = {name: len(columns[name]["label"]) for name in SPLITS}
        yield 0, {
            "kind": "shard",
            "name": shard,
            "file": {"sha256": digest, "bytes": size, "rows": rows},
            "splits": statistics,
            "unused": int((split == 3).sum()),
            "keys": count_keys(self.recipe.input, partition.rows, split < len(SPLITS)),
        }
        PROGRESS.add(1)

    def files_of(self, pairs: Sequence[tuple[int, ShardLine]]) -> Iterator[str]:
        """The shards."""
        return (join(self.options.store, shard["name"]) for _, shard in pairs)

    def reducer_init(self) -> None:
        self._load()

    def reducer(
        self, _: int, shards: Iterator[ShardLine]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """All shards: write the vocabulary, reviews.h5 and, last, the manifest."""
        self.gathered.check()
        ordered = sorted(shards, key=lambda shard: shard["name"])
        manifest = build_manifest(self.recipe, self.gathered, ordered, self.coding,
                                  self.distinct_words)
        if self.encoding.names:
            manifest["features"] = {"names": self.encoding.names,
                                    "encoding": self.encoding.entries}
        if self.recipe.input.keep_keys:
            manifest["keys"] = merge_counts(
                self.recipe.input, [shard["keys"] for shard in ordered])
        if self.options.vocabulary:
            manifest["given_vocabulary"] = sha256(Path(self.options.vocabulary))
        extra = {}
        if self.options.vectors:
            vectors = np.load(self.options.vectors)
            manifest["vectors"] = {"dimension": vectors.shape[1],
                                   "words": int(vectors.any(1).sum())}
            extra["vectors.npy"] = Path(self.options.vectors)
        if self.subwords and self.tokenizer_file:
            manifest |= {"padding": self.coding.padding, "unknown": self.coding.unknown,
                         "special": self.subwords.special}
            extra[TOKENIZER] = self.tokenizer_file
        # A token may hold what ends a line.
        words = [word.replace("\n", "\\n") for word in self.coding.words.to_pylist()]
        commit_store(self.options.store, manifest, words, extra)
        yield "records", manifest["records"]


def read_vocabulary_line(path: Path, recipe: Recipe) -> VocabularyLine:
    """The vocabulary, from the output of job 2 or from a summary of it."""
    lines = [orjson.loads(line.split(b"\t", 1)[1]) for line in path.read_bytes().splitlines()]
    made: list[VocabularyLine] = [line for line in lines if line["kind"] == "vocabulary"]
    return made[0] if made else merge_words(lines, recipe)


def merge_words(
    output: Sequence[WordsLine | FeatureLine], recipe: Recipe
) -> VocabularyLine:
    """The vocabulary, from the output of job 2."""
    lines = [line for line in output if line["kind"] == "words"]
    words = pa.array([word for line in lines for word in line["words"]], pa.string())
    counts = np.array([count for line in lines for count in line["counts"]], np.int64)
    enough = counts >= recipe.encoding.min_count
    vocabulary = most_frequent(
        words.filter(pa.array(enough)), counts[enough], recipe.encoding.vocabulary_size)
    return {"kind": "vocabulary", "words": vocabulary,
            "distinct": sum(line["distinct"] for line in lines),
            "total": sum(line["total"] for line in lines)}


def encode(
    partition: Partition, split: Array, coding: Coding, common_ids: Array, recipe: Recipe,
    encoding: Encoding,
) -> tuple[dict[str, dict[str, Array]], dict[str, dict[str, Any]]]:
    """The columns of a shard for each split, and what the manifest says about them.

    common_ids (c,) are what the common words become.
    """
    length, keep = recipe.encoding.length, recipe.encoding.keep
    room, classes = room_for_words(length, coding), len(recipe.labels.class_names)
    ids = partition.ids()
    own_ids = coding.numbers(partition.words)[partition.numbers]
    numbers = np.concatenate([common_ids, own_ids]).astype(coding.dtype)
    rows = {name: np.asarray(partition.rows[name]) for name in ("label", "rating", "review_id")}
    if encoding.names:
        rows["features"] = encoding.encode(
            [partition.rows[name] for name in feature_columns(recipe.input)])
    rows |= stored_keys(recipe.input, partition.rows)
    columns: dict[str, dict[str, Array]] = {}
    statistics: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(SPLITS):
        here = np.flatnonzero(split == number)
        chosen = ids.take(here)
        tokens, kept, unknown = cut(chosen, numbers, length, keep, coding)
        columns[name] = {"tokens": tokens, "length": kept}
        columns[name] |= {column: values[here] for column, values in rows.items()}
        words = chosen.size
        stars, counts = np.unique(rows["rating"][here], return_counts=True)
        ratings = {
            "none" if np.isnan(rating) else f"{rating:g}": int(n)
            for rating, n in zip(stars, counts, strict=True)
        }
        lengths = np.bincount(np.searchsorted(LENGTHS, words), minlength=len(LENGTHS))
        statistics[name] = {
            "rows": len(here),
            "labels": np.bincount(rows["label"][here], minlength=classes).tolist(),
            "ratings": ratings,
            "lengths": lengths.tolist(),
            "words": int(words.sum()),
            "unknown_words": unknown,
            "truncated": int((words > room).sum()),
        }
    return columns, statistics


def build_manifest(
    recipe: Recipe,
    gathered: GatherSummary,
    shards: list[ShardLine],
    coding: Coding,
    distinct_words: int,
) -> dict[str, Any]:
    """The manifest of all shards; no number in it comes from an engine's counters."""
    classes = recipe.labels.class_names
    manifest = empty_manifest(to_mapping(recipe), classes)
    manifest["vocabulary_size"] = coding.size
    manifest["distinct_words"] = distinct_words
    manifest["files"] = {shard["name"]: shard["file"] for shard in shards}
    manifest["splits"] = {
        name: _sum([s["splits"][name] for s in shards], classes) for name in SPLITS
    }
    counts = dict(gathered.counts)
    dropped = {
        rule: counts.get(rule, 0)
        for rule in ("no_words", "too_few_words", "not_sampled", "overlap", "duplicate", "neutral")
    }
    if recipe.labels.missing == "drop":
        dropped["missing"] = counts.get("missing", 0)
    dropped["unused"] = sum(shard["unused"] for shard in shards)
    manifest["records"] = {
        "read": counts.get("read", 0),
        "stored": sum(manifest["splits"][name]["rows"] for name in SPLITS),
        "dropped": dropped,
        "bad": dict(sorted(gathered.bad.items())),
    }
    if recipe.selection.dedupe == "reviewer-product":
        manifest["records"]["without_reviewer_or_product"] = counts.get("without_key", 0)
    return manifest


def _sum(parts: list[dict[str, Any]], classes: tuple[str, ...]) -> dict[str, Any]:
    """The statistics of one split, added up over the shards."""
    total: dict[str, Any] = {
        name: sum(part[name] for part in parts)
        for name in ("rows", "words", "unknown_words", "truncated")
    }
    labels = np.sum([part["labels"] for part in parts], axis=0)
    total["labels"] = dict(zip(classes, labels.tolist(), strict=True))
    ratings: Counter[str] = Counter()
    for part in parts:
        ratings.update(part["ratings"])
    total["ratings"] = dict(sorted(ratings.items()))
    lengths = np.sum([part["lengths"] for part in parts], axis=0).tolist()
    total["lengths"] = [[top, n] for top, n in zip(LENGTHS, lengths, strict=True)]
    return total


if __name__ == "__main__":
    EncodeReviews.run()
