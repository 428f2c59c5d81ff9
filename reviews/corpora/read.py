"""A split -> blocks of reviews, with what is wrong in it counted."""

from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import Protocol

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from reviews.corpora.columns import CODE, MISSING, REASONS, Column, to_reviews, unknown_label
from reviews.corpora.csv import Csv
from reviews.corpora.detect import CSV, FASTTEXT, JSON_LINES, JSON_OBJECTS, PARQUET
from reviews.corpora.fasttext import FastText
from reviews.corpora.fields import FOR_TRAINING, Reading
from reviews.corpora.input_splits import InputSplit, is_lines
from reviews.corpora.inputs import codec_of, read_input, read_lines_from, read_plain
from reviews.corpora.json.lines import JsonLines
from reviews.corpora.json.objects import JsonObjects
from reviews.corpora.parquet import Parquet
from reviews.corpora.ratings import RatingScale, ratings_seen
from reviews.corpora.stretches import (
    LONGEST_RECORD,
    NO_SPANS,
    Spans,
    Stretch,
    stretches,
)
from reviews.features import features_of
from reviews.labels import label_meanings
from reviews.recipe import Recipe
from reviews.record import BadRecord, Block, ValuesSeen

PLACES = 3  # bad records of a block that are named


class Reader(Protocol):
    """Protocol of a format's reader; made from a path and a recipe, for one split."""

    labelled: bool  # whether records have labels, so that they need no rating

    def find(self, data: bytes, final: bool) -> tuple[Spans, Spans, int]:
        """First bytes and ends of the records whole in data, and how many bytes they use up."""

    def parse(
        self, data: bytes, starts: Spans, ends: Spans
    ) -> tuple[dict[str, Column], NDArray[np.uint8]]:
        """Columns by part of the review; for each record (n) why it cannot be read, or 0."""


_READERS: dict[str, type[JsonLines] | type[FastText]] = {
    JSON_LINES: JsonLines, JSON_OBJECTS: JsonObjects, FASTTEXT: FastText,
}  # fmt: skip


Part = Callable[[], Iterable[Block]]


def read_blocks(
    split: InputSplit, recipe: Recipe, rows: int = 16384, reading: Reading = FOR_TRAINING,
    longest: int = LONGEST_RECORD,
) -> Iterator[Block]:
    """The reviews of a split in blocks of at most `rows` records, in the order of the input.

    Every record is a review or counted as bad, as those of more than `longest` bytes are; a
    block without a good one is given too.
    Reviewer, product and time are null where the recipe does not look at them; its features
    follow as feature_0 and so on. A UserError names a file without the fields that are needed.
    """
    for part in read_parts(split, recipe, rows, reading, longest):
        yield from part()


def read_parts(
    split: InputSplit, recipe: Recipe, rows: int = 16384, reading: Reading = FOR_TRAINING,
    longest: int = LONGEST_RECORD,
) -> Generator[Part, None, None]:
    """The same, in parts that are inflated and cut one after another, but that may be parsed in
    any order and by any thread: each one is a call that gives its blocks."""
    if split.format == PARQUET:
        for block in _parquet_blocks(split, recipe, rows, reading, longest):
            yield partial(iter, [block])
        return
    reader = _reader(split, recipe, reading)
    meaning = _Meaning(split.path, recipe, reader.labelled, reading)
    for stretch in read_stretches(split, recipe, reader, longest=longest):
        yield partial(_blocks, reader, meaning, stretch, rows)


def read_stretches(
    split: InputSplit, recipe: Recipe, reader: Reader | None = None,
    reading: Reading = FOR_TRAINING, longest: int = LONGEST_RECORD,
) -> Iterator[Stretch]:
    """The bytes of a split that is no Parquet, in stretches of whole records."""
    reader = reader or _reader(split, recipe, reading)
    at_start = split.offset == 0
    if split.piece is not None:
        pieces = read_plain(split.piece, split.ends_early)
        at_start = False  # its BOM was left out when it was cut
    elif is_lines(split.format, recipe) and codec_of(split.path) is None:
        pieces = read_lines_from(split.path, split.offset, split.length)
    else:
        pieces = read_input(split.path)
    return stretches(pieces, reader.find, at_start, split.line, longest)


def _reader(split: InputSplit, recipe: Recipe, reading: Reading) -> Reader:
    """Reader of the records of a split; names of fields are those of the whole file."""
    if split.format == CSV:
        return Csv(split.path, recipe, reading, at_start=split.offset == 0)
    return _READERS[split.format](split.path, recipe, reading)


class _Meaning:
    """Meaning of the columns of one file's records, by the recipe."""

    def __init__(self, path: str, recipe: Recipe, labelled: bool, reading: Reading) -> None:
        self.path = path
        self._needed = reading.labels
        self._labels = label_meanings(recipe.labels) if labelled and self._needed else None
        self._features = features_of(recipe.input)
        self._scale = RatingScale.of(recipe.labels)
        self._dropped = MISSING if recipe.labels.missing == "drop" and self._needed else ()

    def block(
        self, columns: dict[str, Column], reasons: NDArray[np.uint8], size: int,
        line_of: Callable[[int], int],
    ) -> Block:
        """The reviews of n records; line_of(row) is asked for the first that are bad."""
        reviews, reasons = to_reviews(
            columns, reasons, self._labels, self._features, self._scale, self._needed)
        block = Block(reviews, len(reasons), size, numbers=np.flatnonzero(reasons == 0))
        counts = _counts(reasons)
        block.bad = {why: n for why, n in counts.items() if why not in self._dropped}
        missing = sum(counts.values()) - sum(block.bad.values())
        if missing:
            block.dropped = {"missing": missing}
        bad = np.isin(reasons, [CODE[why] for why in block.bad])
        block.places = [BadRecord(self.path, line_of(int(row)), REASONS[reasons[row]])
                        for row in np.flatnonzero(bad)[:PLACES]]
        if {"missing_rating", "rating_out_of_range"} & set(block.bad) and "rating" in columns:
            rating = columns["rating"]
            block.seen = ratings_seen(
                rating.kinds, rating.numbers, rating.strings, self._scale)
        if "unknown_label" in block.bad:
            block.seen += ValuesSeen(label=unknown_label(columns["label"], reasons))
        return block


def _blocks(
    reader: Reader, meaning: _Meaning, stretch: Stretch, rows: int
) -> Iterator[Block]:
    """The blocks of one stretch, at least one; bytes after a record belong to its block."""
    count = len(stretch.starts)
    begin = 0
    for first in range(0, max(count, 1), rows):
        last = min(first + rows, count)
        end = stretch.used if last == count else int(stretch.starts[last])
        starts, ends = stretch.starts[first:last], stretch.ends[first:last]
        long = ends - starts > stretch.longest
        columns, reasons = reader.parse(stretch.data, starts, np.where(long, starts + 1, ends))
        reasons[long] = CODE["too_long"]

        def line_of(row: int, starts: Spans = starts) -> int:
            return stretch.line_of(int(starts[row]))

        yield meaning.block(columns, reasons, end - begin, line_of)
        begin = end
    if stretch.cut:
        yield _bad_record(reader, meaning, stretch, "truncated_file", stretch.used, begin)
    elif stretch.too_long:
        yield _bad_record(reader, meaning, stretch, "too_long", 0, stretch.used)


def _bad_record(
    reader: Reader, meaning: _Meaning, stretch: Stretch, reason: str, place: int, begin: int
) -> Block:
    """The block of a record that is not whole in a stretch; bytes of data from `begin` on are
    its own."""
    block = meaning.block(*reader.parse(b"", *NO_SPANS), len(stretch.data) - begin, int)
    block.records, block.bad = 1, {reason: 1}
    block.places = [BadRecord(meaning.path, stretch.line_of(place), reason)]
    return block


def _parquet_blocks(
    split: InputSplit, recipe: Recipe, rows: int, reading: Reading, longest: int
) -> Iterator[Block]:
    """The blocks of some row groups; a bad record's line is its row in the file, from 1."""
    reader = Parquet(split.path, recipe, reading)
    meaning = _Meaning(split.path, recipe, reader.labelled, reading)
    done = reader.row_of(split.offset)
    for columns, reasons, size in reader.batches(split.offset, split.length, rows):
        lengths = [pc.binary_length(column.strings) for column in columns.values()]
        reasons[np.sum(lengths, axis=0, dtype=np.int64) > longest] = CODE["too_long"]

        def line_of(row: int, done: int = done) -> int:
            return done + row + 1

        yield meaning.block(columns, reasons, size, line_of)
        done += len(reasons)


def _counts(reasons: NDArray[np.uint8]) -> dict[str, int]:
    """Number of records (n) that are not read, by reason."""
    counts = np.bincount(reasons, minlength=len(REASONS))[1:]
    return {REASONS[1 + code]: int(counts[code]) for code in np.flatnonzero(counts)}

