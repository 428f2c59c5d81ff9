"""The input as a list of splits that can be read apart from each other."""

from collections.abc import Sequence
from dataclasses import dataclass

from reviews.corpora.csv import rows_are_lines
from reviews.corpora.csv_layout import DELIMITERS
from reviews.corpora.detect import (
    CSV,
    FASTTEXT,
    JSON_LINES,
    PARQUET,
    check_readable,
    detect_format,
    json_format,
)
from reviews.corpora.inputs import codec_of, inflated_size
from reviews.corpora.parquet import cut_groups, group_sizes
from reviews.recipe import Recipe
from reviews.storage.files import find_files, size_of


@dataclass(frozen=True)
class InputSplit:
    """The records of a file whose first bytes lie in [offset, offset + length).

    A length of -1 reaches to the end of the file. `format` is one of corpora.detect. Of a Parquet
    file offset and length count row groups. Of a file that was cut into pieces, `piece` names the
    one that holds these bytes, inflated and whole records of them; offset and length count
    inflated bytes, `line` lines lie before, and `ends_early` says that the file is cut off there.
    """

    path: str
    offset: int
    length: int
    format: str
    piece: str | None = None
    line: int = 0
    ends_early: bool = False


def plan_splits(
    inputs: Sequence[str], recipe: Recipe, split_bytes: int = 64 << 20
) -> list[InputSplit]:
    """Splits of at most split_bytes, in the order of the inputs.

    An input is a file, a folder (all files below it, hidden ones left out), or a glob. Only
    plain files of lines and Parquet files can be cut; every other file is one split. A
    UserError names an input that is missing, empty or in no known format.
    """
    splits = []
    for path in find_files(inputs):
        format = recipe.input.format
        if format == "auto":
            format = detect_format(path, recipe.input.delimiter_mark or DELIMITERS,
                                   recipe.input.text_field)
        elif format in ("amazon", "jsonl"):
            format = json_format(path, recipe.input.text_field)
        else:
            check_readable(path)
        if is_lines(format, recipe) and codec_of(path) is None:
            size = size_of(path)
            splits += [
                InputSplit(path, offset, min(split_bytes, size - offset), format)
                for offset in range(0, size, split_bytes)
            ]
        elif format == PARQUET:
            runs = cut_groups(group_sizes(path), split_bytes) or [(0, -1)]
            splits += [InputSplit(path, first, count, format) for first, count in runs]
        else:
            splits.append(InputSplit(path, 0, -1, format))
    return splits


def is_lines(format: str, recipe: Recipe) -> bool:
    """True when every line is a record, so that a plain file can be cut anywhere."""
    return format in (JSON_LINES, FASTTEXT) or (format == CSV and rows_are_lines(recipe))


def is_read_by_one(split: InputSplit) -> bool:
    """True when a split is a file that can only be read from front to back."""
    return split.length < 0 and split.format != PARQUET


def raw_bytes(splits: Sequence[InputSplit]) -> int:
    """About how many bytes the splits hold when inflated: a function of the files alone."""
    return sum(map(_raw_size, splits))


def _raw_size(split: InputSplit) -> int:
    if split.format == PARQUET:
        groups = group_sizes(split.path)[split.offset :]
        return sum(groups if split.length < 0 else groups[: split.length])
    return split.length if split.length >= 0 else inflated_size(split.path)
