"""The input as a list of splits that can be read apart from each other."""

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reviews.corpora.detect import FASTTEXT, JSON_LINES, detect_format, json_format
from reviews.corpora.inputs import inflated_size, is_gzip
from reviews.errors import UserError
from reviews.recipe import Recipe


@dataclass(frozen=True)
class Split:
    """The records of a file whose first bytes lie in [offset, offset + length).

    A length of -1 reaches to the end of the file. `format` is one of corpora.detect.
    """

    path: str
    offset: int
    length: int
    format: str


def plan_splits(inputs: Sequence[str], recipe: Recipe, split_bytes: int = 64 << 20) -> list[Split]:
    """Splits of at most split_bytes, in the order of the inputs.

    An input is a file, a folder (all files below it, hidden ones left out), or a glob. Only
    plain files of lines can be cut; every other file is one split. A UserError names an input
    that is missing, empty or in no known format.
    """
    splits = []
    for path in find_files(inputs):
        format = recipe.format
        if format == "auto":
            format = detect_format(path)
        elif format in ("amazon", "jsonl"):
            format = json_format(path)
        if format in (JSON_LINES, FASTTEXT) and not is_gzip(path):
            size = os.path.getsize(path)
            splits += [
                Split(path, offset, min(split_bytes, size - offset), format)
                for offset in range(0, size, split_bytes)
            ]
        else:
            splits.append(Split(path, 0, -1, format))
    return splits


def raw_bytes(splits: Sequence[Split]) -> int:
    """About how many bytes the splits hold when inflated: a function of the files alone."""
    return sum(
        split.length if split.length >= 0 else inflated_size(split.path) for split in splits
    )


def find_files(inputs: Sequence[str]) -> list[str]:
    """The files meant by files, folders and globs, those of a folder or glob by name."""
    files: list[str] = []
    for name in inputs:
        found = [name] if os.path.lexists(name) else sorted(glob.glob(name, recursive=True))
        if not found:
            kind = "matches no file" if glob.has_magic(name) else "no such file or folder"
            raise UserError(f"{name}: {kind}")
        for path in found:
            below = _files_below(path) if os.path.isdir(path) else [path]
            if not below:
                raise UserError(f"{path}: a folder without files")
            files += below
    if not files:
        raise UserError("no input: give files, folders or globs")
    seen: set[str] = set()
    for path in map(os.path.abspath, files):
        if path in seen:
            raise UserError(f"{path}: given twice; its reviews would count twice")
        seen.add(path)
    return files


def _files_below(folder: str) -> list[str]:
    """Paths of the files below a folder, without hidden ones and hidden folders'."""
    return sorted(
        str(path)
        for path in Path(folder).rglob("*")
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    )
