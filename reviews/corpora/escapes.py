"""Newlines written as a backslash and an n, as Yelp's files and others have them."""

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from reviews.corpora.input_splits import InputSplit
from reviews.corpora.read import read_blocks
from reviews.options import replace_flat
from reviews.recipe import Recipe

_FILES = 16  # files of a corpus that are looked at
_ROWS = 1000  # reviews of each
_SHARE = 0.01  # share of a file's reviews that have them


def resolve_escapes(
    recipe: Recipe, splits: Mapping[str, Sequence[InputSplit]]
) -> tuple[Recipe, str | None]:
    """The recipe with `escaped_newlines: find` replaced by what the inputs (by role) show, and
    the first file that has such newlines."""
    if recipe.cleaning.escaped_newlines != "find":
        return recipe, None
    first: dict[str, InputSplit] = {}
    for split in (split for some in splits.values() for split in some):
        first.setdefault(split.path, split)
    files = list(first.values())
    some = files[:: -(-len(files) // _FILES) or 1]
    found = next((split.path for split in some if _has_escapes(_first_texts(split, recipe))), None)
    return replace_flat(recipe, escaped_newlines="always" if found else "by-layout"), found


def _first_texts(split: InputSplit, recipe: Recipe) -> pa.StringArray:
    """Texts of a split's first reviews; none of Parquet without a row, which gives no block."""
    blocks: Iterable[pa.RecordBatch] = (
        block.reviews for block in read_blocks(split, recipe, _ROWS))
    for reviews in blocks:
        return reviews["text"]
    return pa.array([], pa.string())


def _has_escapes(texts: pa.StringArray) -> bool:
    """True where enough texts have them, and more than have newlines."""
    escaped = pc.sum(pc.match_substring(texts, "\\n")).as_py() or 0
    newlines = pc.sum(pc.match_substring(texts, "\n")).as_py() or 0
    return escaped > newlines and escaped >= _SHARE * len(texts)
