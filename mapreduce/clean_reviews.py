"""A job of its own: raw reviews to cleaned text in Parquet, for other tools than ours.

Each piece of the input becomes one file with the columns text (the words that the recipe keeps,
with single spaces between them) and label (the class's name; null where the recipe calls the
rating neutral). Nothing is de-duplicated, split or encoded.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import astuple
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from mrjob.protocol import RawValueProtocol

from mapreduce.job import ReviewsJob, split_of
from mapreduce.job_lines import CleanedLine
from reviews.corpora import read_blocks
from reviews.labels import NO_LABEL, settle_labels
from reviews.recipe import Recipe
from reviews.record import ValuesSeen
from reviews.storage.folders import join, whole_file
from reviews.text.tokenize_block import tokenize_block
from reviews.text.tokenizer import Tokenizer

SCHEMA = pa.schema([pa.field("text", pa.string(), nullable=False), pa.field("label", pa.string())])
RESTART_WORDS = 1 << 20


class CleanReviews(ReviewsJob):
    """Raw reviews to Parquet files."""

    INPUT_PROTOCOL = RawValueProtocol
    LINES_PER_TASK = 1

    def configure_args(self) -> None:
        super().configure_args()
        self.add_passthru_arg("--out", required=True, help="folder of the Parquet files")

    def mapper(self, _: Any, line: str) -> Iterator[tuple[int, CleanedLine]]:
        """One split to one file; the name is the split's, so attempts may be repeated."""
        split, more = split_of(line)
        name = f"part-{more['number']:05d}.parquet"
        counts: Counter[str] = Counter()
        bad: Counter[str] = Counter()
        seen = ValuesSeen()
        with (whole_file(join(self.options.out, name)) as file,
              pq.ParquetWriter(file, SCHEMA, use_dictionary=["label"]) as writer):
            tokenizer = Tokenizer(self.recipe.tokens)
            for block in read_blocks(split, self.recipe):
                cleaned, dropped = clean_block(block.reviews, tokenizer, self.recipe)
                writer.write_batch(cleaned)
                counts.update(block.dropped)
                counts.update(dropped, read=block.records, texts=len(cleaned))
                bad.update(block.bad)
                seen += block.seen
        empty = [split.path] if split.offset == 0 and not counts["read"] else []
        yield 0, {"kind": "cleaned", "counts": dict(counts), "bad": dict(bad),
                  "seen": list(astuple(seen)), "empty": empty}

    def reducer(
        self, key: int, lines: Iterator[CleanedLine]
    ) -> Iterator[tuple[int, CleanedLine]]:
        """All of them together."""
        counts: Counter[str] = Counter()
        bad: Counter[str] = Counter()
        seen, empty = ValuesSeen(), set()
        for line in lines:
            counts.update(line["counts"])
            bad.update(line["bad"])
            seen += ValuesSeen(*line["seen"])
            empty |= set(line["empty"])
        yield key, {"kind": "cleaned", "counts": dict(counts), "bad": dict(bad),
                    "seen": list(astuple(seen)), "empty": sorted(empty)}


def clean_block(
    rows: pa.RecordBatch, tokenizer: Tokenizer, recipe: Recipe
) -> tuple[pa.RecordBatch, dict[str, int]]:
    """The texts and labels of a block's reviews that have words enough, and how many have not."""
    texts = tokenize_block(rows["text"], tokenizer, recipe)
    words = tokenizer.table.words().take(pa.array(texts.tokens.ids))
    bounds = pa.array(np.concatenate([[0], texts.tokens.ends]), pa.int32())
    text = pc.binary_join(pa.ListArray.from_arrays(bounds, words), " ")
    if len(tokenizer.table) >= RESTART_WORDS:
        tokenizer.restart()
    label, _ = settle_labels(rows["label"], rows["rating"], recipe.labels)
    names = pa.array(recipe.labels.class_names).take(pa.array(label, mask=label == NO_LABEL))
    kept = pa.record_batch([text, names], schema=SCHEMA).filter(pa.array(texts.keep))
    return kept, texts.dropped


if __name__ == "__main__":
    CleanReviews.run()
