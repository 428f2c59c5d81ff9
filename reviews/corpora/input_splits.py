"""The input as a list of splits that can be read apart from each other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

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
    look_at,
)
from reviews.corpora.parquet import cut_groups, group_sizes
from reviews.recipe import Recipe
from reviews.storage.files import at_once, find_files


@dataclass(frozen=True)
class InputSplit:
    """The records of a file whose first bytes lie in [offset, offset + length).

    A length of -1 reaches to the end of the file. `format` is one of corpora.detect. Of a Parquet
    file offset and length count row groups. Of a file that was cut into pieces, `piece` names the
    one that holds these bytes, inflated and whole records of them; offset and length count
    inflated bytes, `line` lines lie before, and `ends_early` says that the file is cut off there.
    `file_bytes` is the size of the file as it lies there, `inflated` about what the split holds
    uncompressed where its length does not say it.
    """

    path: str
    offset: int
    length: int
    format: str
    piece: str | None = None
    line: int = 0
    ends_early: bool = False
    file_bytes: int = 0
    inflated: int = 0

    @property
    def raw_bytes(self) -> int:
        """About how many bytes the split holds when inflated: a function of the file alone."""
        return self.inflated if self.format == PARQUET or self.length < 0 else self.length


def plan_splits(
    inputs: Sequence[str], recipe: Recipe, split_bytes: int = 64 << 20
) -> list[InputSplit]:
    """Splits of at most split_bytes, in the order of the inputs.

    An input is a file, a folder (all files below it, hidden ones left out), or a glob. Only
    plain files of lines and Parquet files can be cut; every other file is one split. A
    UserError names an input that is missing, empty or in no known format.
    """
    return plan_files(find_files(inputs), recipe, split_bytes)


def plan_files(
    files: Sequence[str], recipe: Recipe, split_bytes: int = 64 << 20
) -> list[InputSplit]:
    """The same of files that have been found. Each is opened once."""
    planned = at_once(partial(_plan_file, recipe=recipe, split_bytes=split_bytes), files)
    return [split for splits in planned for split in splits]


def _plan_file(path: str, recipe: Recipe, split_bytes: int) -> list[InputSplit]:
    start, format = look_at(path), recipe.input.format
    if format == "auto":
        format = detect_format(path, recipe.input.delimiter_mark or DELIMITERS,
                               recipe.input.text_field, start)
    elif format in ("amazon", "jsonl"):
        format = json_format(path, recipe.input.text_field, start)
    else:
        check_readable(path, start)
    whole = InputSplit(path, 0, -1, format, file_bytes=start.size, inflated=start.inflated)
    if is_lines(format, recipe) and start.codec is None:
        return [replace(whole, offset=offset, length=min(split_bytes, start.size - offset))
                for offset in range(0, start.size, split_bytes)]
    if format == PARQUET:
        sizes = group_sizes(path)
        runs = cut_groups(sizes, split_bytes) or [(0, -1)]
        return [replace(whole, offset=first, length=count,
                        inflated=sum(sizes if count < 0 else sizes[first : first + count]))
                for first, count in runs]
    return [whole]


def is_lines(format: str, recipe: Recipe) -> bool:
    """True when every line is a record, so that a plain file can be cut anywhere."""
    return format in (JSON_LINES, FASTTEXT) or (format == CSV and rows_are_lines(recipe))


def is_read_by_one(split: InputSplit) -> bool:
    """True when a split is a file that can only be read from front to back."""
    return split.length < 0 and split.format != PARQUET


def raw_bytes(splits: Sequence[InputSplit]) -> int:
    """About how many bytes the splits hold when inflated."""
    return sum(split.raw_bytes for split in splits)
