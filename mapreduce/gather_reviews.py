"""Job 1: read, clean and tokenize the raw text once; de-duplicate and label each partition.

Input lines name the input: a path, or a JSON object of a split (path, offset, length, format,
role); paths are absolute, since tasks run elsewhere. Output lines, one for each partition,
point to its file in the work folder and hold its counts and the histograms from which the
splits are cut.

    ls $PWD/*.json.gz | python -m mapreduce.gather_reviews -r local --work-dir $PWD/work > gathered
"""

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pyarrow as pa
from mrjob.protocol import RawValueProtocol

from mapreduce.job import ReviewsJob, shown, split_of
from mapreduce.job_lines import (
    BadRecordFields,
    GatherLine,
    PartitionCounts,
    PartitionResult,
    RowsLine,
    fields_of,
)
from mapreduce.partitions.common_words import NO_COMMON_WORDS, CommonWords
from mapreduce.partitions.deduplicate import CORPUS, TEST, VALIDATION, deduplicate, strata
from mapreduce.partitions.histogram import Histogram
from mapreduce.partitions.kept_keys import carried_keys, key_columns
from mapreduce.partitions.partition import OF_IDS, Partition
from mapreduce.partitions.splitting import sampled, split_keys, strata_of
from mapreduce.split_threads import share_parts
from reviews.corpora import InputSplit, plan_splits, read_parts
from reviews.errors import UserError
from reviews.features import feature_columns
from reviews.recipe import Recipe
from reviews.record import Block, ValuesSeen
from reviews.runtime.progress import PROGRESS
from reviews.storage.files import is_remote
from reviews.storage.folders import join
from reviews.storage.work_files import WorkFileWriter
from reviews.text.sequences import Compactor, Ragged, gather
from reviews.text.strings import hash_strings, mix_hashes
from reviews.text.subwords import Subwords, tokenizer_for
from reviews.text.tokenize_block import tokenize_block
from reviews.text.tokenizer import Tokenizer
from reviews.text.word_table import grown

Array = np.ndarray
ROLES = {"corpus": CORPUS, "validation": VALIDATION, "test": TEST}

# A task writes its rows when their words or its dictionary outgrow these.
SEGMENT_IDS = 24 << 20
SEGMENT_WORDS = 1 << 20


class GatherReviews(ReviewsJob):
    """Raw reviews to partition files of distinct, labelled word sequences."""

    INPUT_PROTOCOL = RawValueProtocol
    LINES_PER_TASK = 1

    def configure_args(self) -> None:
        super().configure_args()
        self.add_passthru_arg("--partitions", type=int, default=1, help="number of shards")
        self.add_passthru_arg("--threads", type=int, default=1, help="threads of each task")

    def mapper(self, _: Any, line: str) -> Iterator[tuple[int, GatherLine]]:
        """One split: its rows into a file, its parcels' locations by partition."""
        try:
            for split, role in _splits_of(line, self.recipe):
                takers = [self._taker(role) for _ in range(self.options.threads)]
                share_parts(read_parts(split, self.recipe), takers)
                for taker in takers:
                    yield from taker.finish()
                if split.offset == 0 and not any(taker.counts["read"] for taker in takers):
                    yield 0, {"kind": "empty", "path": split.path}
        except UserError as error:
            yield 0, {"kind": "error", "message": self.unread(error)}

    def _taker(self, role: int) -> "_Gather":
        options = self.options

        def count(block: Block) -> None:
            self.increment_counter("reviews", "records read", block.records)
            self.increment_counter("reviews", "bytes read", block.size)
            PROGRESS.add(block.size)

        tokenizer = tokenizer_for(self.recipe.tokens, self.tokenizer_file)
        return _Gather(self.recipe, tokenizer, self.common_words, self.work, options.partitions,
                       role, SEGMENT_IDS // options.threads, count)

    def reducer(
        self, partition: int, lines: Iterator[GatherLine]
    ) -> Iterator[tuple[int, PartitionResult]]:
        """One partition: its distinct rows into a file."""
        yield partition, finish_partition(
            partition, list(lines), self.recipe, self.work, self.common_words)


def _splits_of(line: str, recipe: Recipe) -> Iterator[tuple[InputSplit, int]]:
    if line.startswith("{"):
        split, more = split_of(line)
        yield split, ROLES[more.get("role", "corpus")]
    elif path := line.strip():
        if not (is_remote(path) or glob.has_magic(path) or os.path.lexists(path)):
            raise UserError(f"{shown(path)}: no such file or folder; the input is a list of files, "
                            "one a line")
        for split in plan_splits([path], recipe, split_bytes=2**62):
            yield split, CORPUS


class _Gather:
    """The rows of one thread of a task, buffered until there are enough of them."""

    def __init__(
        self, recipe: Recipe, tokenizer: Tokenizer | Subwords, common: CommonWords, work: str,
        partitions: int, role: int, segment_ids: int, count: Callable[[Block], None],
    ) -> None:
        self.segment_ids, self.count, self.common = segment_ids, count, common
        self.recipe, self.partitions, self.role = recipe, partitions, role
        self.tokenizer = tokenizer
        self.writer = WorkFileWriter(join(work, "gathered"), "task")
        self.counts: Counter[str] = Counter()
        self.bad: Counter[str] = Counter()
        self.seen = ValuesSeen()
        self.examples: list[BadRecordFields] = []
        self.lines: list[tuple[int, RowsLine]] = []
        self.ids = np.empty(segment_ids + segment_ids // 4, np.int32)
        self._reset()

    def _reset(self) -> None:
        self.rows: list[pa.RecordBatch] = []
        self.ends: list[Array] = []
        self.buffered = 0

    def add(self, block: Block) -> None:
        """Clean, tokenize, sample and buffer one block."""
        self.count(block)
        self.counts["read"] += block.records
        self.counts["bytes"] += block.size
        self.counts.update(block.dropped)
        self.bad.update(block.bad)
        self.seen += block.seen
        self.examples += [fields_of(record) for record in block.places]
        del self.examples[3:]
        rows = block.reviews
        if not len(rows):
            return
        texts = tokenize_block(rows["text"], self.tokenizer, self.recipe)
        tokens = texts.tokens
        columns, key = _columns(self.recipe, rows, tokens.identity, self.role)
        if "keyed" in columns.schema.names:
            self.counts["without_key"] += columns["keyed"].false_count
        if self.role == CORPUS and self.recipe.selection.sample < 1:
            texts.leave_out("not_sampled", ~sampled(key, self.recipe.selection))
        self.counts.update(texts.dropped)
        kept, ids, ends = texts.rows, tokens.ids, tokens.ends
        if len(kept) < len(rows):
            ids, ends = gather(ids, ends, kept)
            columns = columns.take(pa.array(kept))
        self.rows.append(columns)
        after = self.buffered + len(ids)
        if after > len(self.ids):
            self.ids = grown(self.ids, after + self.segment_ids // 4)
        self.ids[self.buffered : after] = ids
        self.ends.append(ends + self.buffered)
        self.buffered = after
        if self.buffered >= self.segment_ids or len(self.tokenizer.table) >= SEGMENT_WORDS:
            self.flush()

    def flush(self) -> None:
        """Write the buffered rows, one parcel for each partition, and forget the words."""
        if any(len(batch) for batch in self.rows):
            rows = pa.Table.from_batches(self.rows).combine_chunks()
            words = pa.record_batch({"word": self.tokenizer.table.words()})
            common = self.common
            compactor = Compactor(common.numbers(words["word"]), len(common.words))
            partition = partition_of(np.asarray(rows["key_a"]), self.partitions)
            if self.partitions <= 1 << 16:
                partition = partition.astype(np.uint16)  # narrow numbers sort by their digits
            order = np.argsort(partition, kind="stable")
            bounds = np.searchsorted(partition[order], np.arange(self.partitions + 1))
            if self.recipe.selection.dedupe != "reviewer-product":
                rows = rows.drop_columns(["key_a"])
            ids = Ragged.of(self.ids, np.concatenate(self.ends))
            rows = rows.append_column("size", pa.array(ids.size)).take(pa.array(order))
            [batch] = rows.combine_chunks().to_batches()
            ids = ids.take(order)
            for number in np.flatnonzero(np.diff(bounds)):
                first, last = bounds[number], bounds[number + 1]
                part, own = compactor.compact(ids.take(slice(first, last)))
                tables = self.writer.write(words.take(pa.array(own)),
                                           batch.slice(first, last - first))
                behind = self.writer.write_bytes(part)
                self.lines.append((int(number), {
                    "kind": "rows", **tables, "common": common.name,
                    "ids": [behind["offset"], behind["length"], part.itemsize]}))
        self.tokenizer.restart()
        self._reset()

    def finish(self) -> Iterator[tuple[int, GatherLine]]:
        """Yield the locations of what was written, and the counts with partition 0."""
        self.writer.close()
        yield from self.lines
        yield 0, {"kind": "counts", "counts": dict(self.counts), "bad": dict(self.bad),
                  "examples": self.examples, "seen": list(astuple(self.seen))}


def partition_of(keys: Array, partitions: int) -> Array:
    """The partition (n,) int64 of each 64-bit key: equal ranges, so that shards are in order."""
    return ((keys >> np.uint64(32)) * np.uint64(partitions) >> np.uint64(32)).astype(np.int64)


def _columns(
    recipe: Recipe, rows: pa.RecordBatch, identity: Array, role: int
) -> tuple[pa.RecordBatch, Array]:
    """Columns of a row besides its words, and the first hash of the key of de-duplication."""
    columns: dict[str, Any] = {}
    key = identity
    if recipe.selection.dedupe == "reviewer-product":
        reviewer, product = hash_strings(rows["reviewer"]), hash_strings(rows["product"])
        pair = np.stack(
            [mix_hashes(reviewer[:, i] ^ mix_hashes(product[:, i], 5 + i), 7 + i) for i in (0, 1)],
            axis=1,
        )
        keyed = np.asarray(rows["reviewer"].is_valid()) & np.asarray(rows["product"].is_valid())
        identity = np.stack(
            [mix_hashes(pair[:, i] ^ mix_hashes(identity[:, i], 9 + i), 11 + i) for i in (0, 1)],
            axis=1,
        )
        key = np.where(keyed[:, None], pair, identity)
        columns |= {"key_b": key[:, 1], "keyed": keyed}
    columns |= {
        "key_a": key[:, 0],
        "identity_a": identity[:, 0],
        "identity_b": identity[:, 1],
        "role": np.full(len(rows), role, np.uint8),
        "rating": rows["rating"],
        "label": rows["label"],
    }
    for name in carried_fields(recipe):
        columns[name] = rows[name]
    columns |= carried_keys(recipe.input, rows)
    return pa.record_batch(columns), np.ascontiguousarray(key[:, 0])


def carried_fields(recipe: Recipe) -> list[str]:
    """The optional fields of a review that this recipe looks at."""
    fields = set()
    if recipe.selection.split_by != "review":
        # Which of several equal reviews stays decides where it goes.
        fields |= {"time", recipe.selection.split_by}
    if (recipe.selection.dedupe == "reviewer-product" or recipe.input.features
            or recipe.input.keep_keys):
        fields |= {"time"}
    return sorted(fields) + feature_columns(recipe.input)


def finish_partition(
    partition: int, lines: list[GatherLine], recipe: Recipe, work: str,
    common: CommonWords = NO_COMMON_WORDS,
) -> PartitionResult:
    """Write the partition's file, if it has rows, and return its line."""
    parcels = [line for line in lines if line["kind"] == "rows"]
    if not parcels:
        return {"kind": "no rows", **_totals(lines, {})}
    merged = Partition.of(parcels, common)
    given = np.bincount(np.asarray(merged.rows["role"]), minlength=3)
    distinct = deduplicate(merged, recipe)
    rows = merged.rows.take(pa.array(distinct.kept))
    identity = np.stack([np.asarray(rows["identity_a"]), np.asarray(rows["identity_b"])], 1)
    keys = split_keys(recipe.selection, identity, rows)
    stratum = strata_of(recipe.selection, strata(identity, distinct.label))
    role = np.asarray(rows["role"])
    histograms = {
        str(one): Histogram.of(keys[(role == CORPUS) & (stratum == one)]).encode()
        for one in np.unique(stratum[role == CORPUS])
    }
    columns = pa.table(
        {
            **{name: rows[name] for name in OF_IDS},
            "review_id": identity[:, 0],
            "label": distinct.label,
            "rating": distinct.rating,
            "given": role,
            "stratum": stratum,
            "split_key": keys,
        }
        | {name: rows[name] for name in
           (*feature_columns(recipe.input), *key_columns(recipe.input).values())}
    )
    writer = WorkFileWriter(join(work, "partitions"), f"{partition:05d}")
    location = replace(merged, rows=columns).write(writer)
    writer.close()
    return {"kind": "partition", **location, "rows": len(columns), "histograms": histograms,
            "given": np.bincount(role, minlength=3).tolist(), "given_splits": given.tolist(),
            **_totals(lines, distinct.dropped)}


def _totals(lines: list[GatherLine], dropped: Mapping[str, int]) -> PartitionCounts:
    """The counts of all tasks, and what this partition has dropped."""
    counts: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    examples: list[BadRecordFields] = []
    seen = ValuesSeen()
    for line in lines:
        if line["kind"] == "counts":
            seen += ValuesSeen(*line["seen"])
            counts.update(line["counts"])
            bad.update(line["bad"])
            examples += line["examples"]
    counts.update(dropped)
    return {
        "counts": dict(counts), "bad": dict(bad), "seen": list(astuple(seen)),
        "examples": sorted(examples, key=lambda record: (record["path"], record["line"])),
        "empty": sorted(line["path"] for line in lines if line["kind"] == "empty"),
        "errors": sorted(line["message"] for line in lines if line["kind"] == "error"),
    }


if __name__ == "__main__":
    GatherReviews.run()
