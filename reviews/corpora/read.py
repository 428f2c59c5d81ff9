"""A split -> blocks of reviews, with what is wrong in it counted."""

from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reviews.corpora.columns import REASONS, Column, to_reviews
from reviews.corpora.csv import Csv
from reviews.corpora.detect import CSV, FASTTEXT, JSON_LINES, JSON_OBJECTS, PARQUET
from reviews.corpora.fasttext import FastText
from reviews.corpora.input_splits import InputSplit, is_lines
from reviews.corpora.inputs import codec_of, read_input, read_lines_from, read_plain
from reviews.corpora.json.lines import JsonLines
from reviews.corpora.json.objects import JsonObjects
from reviews.corpora.parquet import Parquet
from reviews.corpora.stretches import Spans, Stretch, stretches
from reviews.features import Feature, features_of
from reviews.labels import label_meanings
from reviews.recipe import Recipe
from reviews.record import BadRecord, Block

PLACES = 3  # bad records of a block that are named


class Reader(Protocol):
    """What a format has to offer; made from a path and a recipe, for one split."""

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


def read_blocks(split: InputSplit, recipe: Recipe, rows: int = 16384) -> Iterator[Block]:
    """The reviews of a split in blocks of at most `rows` records, in the order of the input.

    Every record is a review or counted as bad; a block without a good one is given too.
    Reviewer, product and time are null where the recipe does not look at them; its features
    follow as feature_0 and so on. A UserError names a file without the fields that are needed.
    """
    for part in read_parts(split, recipe, rows):
        yield from part()


def read_parts(split: InputSplit, recipe: Recipe, rows: int = 16384) -> Generator[Part, None, None]:
    """The same, in parts that are inflated and cut one after another, but that may be parsed in
    any order and by any thread: each one is a call that gives its blocks."""
    features = features_of(recipe)
    if split.format == PARQUET:
        for block in _parquet_blocks(split, recipe, features, rows):
            yield partial(iter, [block])
        return
    reader = _reader(split, recipe)
    meanings = label_meanings(recipe) if reader.labelled else None
    for stretch in read_stretches(split, recipe, reader):
        yield partial(_blocks, split.path, reader, meanings, features, stretch, rows)


def read_stretches(
    split: InputSplit, recipe: Recipe, reader: Reader | None = None
) -> Iterator[Stretch]:
    """The bytes of a split that is no Parquet, in stretches of whole records."""
    reader = reader or _reader(split, recipe)
    at_start = split.offset == 0
    if split.piece is not None:
        pieces = read_plain(split.piece, split.ends_early)
        at_start = False  # its BOM was left out when it was cut
    elif is_lines(split.format, recipe) and codec_of(split.path) is None:
        pieces = read_lines_from(split.path, split.offset, split.length)
    else:
        pieces = read_input(split.path)
    return stretches(pieces, reader.find, at_start, split.line)


def _reader(split: InputSplit, recipe: Recipe) -> Reader:
    """What reads the records of a split; names of fields are those of the whole file."""
    if split.format == CSV:
        return Csv(split.path, recipe, at_start=split.offset == 0)
    return _READERS[split.format](split.path, recipe)


def _blocks(
    path: str, reader: Reader, meanings: dict[str, int] | None, features: list[Feature],
    stretch: Stretch, rows: int,
) -> Iterator[Block]:
    """The blocks of one stretch, at least one; bytes after a record belong to its block."""
    count = len(stretch.starts)
    begin = 0
    for first in range(0, max(count, 1), rows):
        last = min(first + rows, count)
        end = stretch.used if last == count else int(stretch.starts[last])
        starts, ends = stretch.starts[first:last], stretch.ends[first:last]
        columns, reasons = reader.parse(stretch.data, starts, ends)
        reviews, reasons = to_reviews(columns, reasons, meanings, features)
        places = [
            BadRecord(path, stretch.line_of(int(starts[row])), REASONS[reasons[row]])
            for row in np.flatnonzero(reasons)[:PLACES]
        ]
        yield Block(reviews, len(reasons), end - begin, _counts(reasons), places)
        begin = end
    if stretch.cut:
        reason = "truncated_file"
        empty, _ = to_reviews(*reader.parse(b"", *_NO_SPANS), meanings, features)
        place = BadRecord(path, stretch.line_of(stretch.used), reason)
        yield Block(empty, 1, len(stretch.data) - begin, {reason: 1}, [place])


def _parquet_blocks(
    split: InputSplit, recipe: Recipe, features: list[Feature], rows: int
) -> Iterator[Block]:
    """The blocks of some row groups; a bad record's line is its row in the file, from 1."""
    reader = Parquet(split.path, recipe)
    meanings = label_meanings(recipe) if reader.labelled else None
    done = reader.row_of(split.offset)
    for columns, reasons, size in reader.batches(split.offset, split.length, rows):
        reviews, reasons = to_reviews(columns, reasons, meanings, features)
        places = [
            BadRecord(split.path, done + int(row) + 1, REASONS[reasons[row]])
            for row in np.flatnonzero(reasons)[:PLACES]
        ]
        yield Block(reviews, len(reasons), size, _counts(reasons), places)
        done += len(reasons)


def _counts(reasons: NDArray[np.uint8]) -> dict[str, int]:
    """How many records (n) are bad, by reason."""
    counts = np.bincount(reasons, minlength=len(REASONS))[1:]
    return {REASONS[1 + code]: int(counts[code]) for code in np.flatnonzero(counts)}


_NO_SPANS = (np.zeros(0, np.int64), np.zeros(0, np.int64))
