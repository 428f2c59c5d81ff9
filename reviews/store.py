"""The store: HDF5 shards and a manifest, written whole or not at all (docs/store-format.md)."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from isal import isal_zlib

from reviews.errors import UserError
from reviews.options import from_mapping
from reviews.recipe import SPLITS, Recipe
from reviews.vocabulary import PADDING, UNKNOWN

FORMAT = "reviewmill-store/1"
CHUNK_ROWS = 1024
Array = np.ndarray
# tokens (n, L), length, label, rating, review_id (n), and features (n, F) where there are any
Columns = Mapping[str, Array]

COLUMNS: dict[str, np.dtype] = {
    "length": np.dtype(np.uint16),
    "label": np.dtype(np.uint8),
    "rating": np.dtype(np.float32),
    "review_id": np.dtype(np.uint64),
}
FEATURES = np.dtype(np.float32)


@dataclass(frozen=True)
class Shard:
    """One HDF5 file and its number of rows in the split that was asked for."""

    path: Path
    rows: int


class Store:
    """A committed store, opened for reading."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        file = self.path / "manifest.json"
        try:
            raw = file.read_bytes()
            self.manifest: dict[str, Any] = json.loads(raw)
            version = self.manifest["format"]
        except FileNotFoundError:
            raise UserError(f"{path} is not a store: it has no manifest.json") from None
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(f"{path} is not a store: its manifest.json cannot be read") from None
        if version != FORMAT:
            raise UserError(f"{path} has the format {version}; this program reads {FORMAT}")
        self.fingerprint = hashlib.sha256(raw).hexdigest()
        self.length: int = self.manifest["length"]
        self.vocabulary_size: int = self.manifest["vocabulary_size"]
        self.padding: int = self.manifest["padding"]
        self.unknown: int = self.manifest["unknown"]
        self.classes: list[str] = self.manifest["classes"]
        # Names of the columns of the dataset `features`; empty where a store has none.
        self.feature_names: list[str] = self.manifest.get("features", {}).get("names", [])
        self.vocabulary_file = self.path / "vocabulary.txt"

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe that made the store."""
        return from_mapping(Recipe, self.manifest["recipe"], str(self.path / "manifest.json"))

    def rows(self, split: str) -> int:
        """Number of rows of one of the splits train, validation, test."""
        if split not in SPLITS:
            raise UserError(f"no split {split!r}; a store has {', '.join(SPLITS)}")
        return int(self.manifest["splits"][split]["rows"])

    def shards(self, split: str) -> list[Shard]:
        """The shards that hold rows of the split, in the order of the manifest."""
        return [
            Shard(self.path / name, entry["rows"][split])
            for name, entry in self.manifest["files"].items()
            if entry.get("rows", {}).get(split)
        ]


def write_shard(path: Path, splits: Mapping[str, Columns]) -> None:
    """Write one shard: a group for each split; the same columns give the same bytes."""
    with h5py.File(path, "w", libver="v110") as file:
        for split in SPLITS:
            group = file.create_group(split)
            for name, values in splits[split].items():
                _write_column(group, name, values)


def _write_column(group: h5py.Group, name: str, values: Array) -> None:
    """One dataset in chunks of 1,024 rows, byte-shuffled and deflated outside of HDF5."""
    chunk = (CHUNK_ROWS, *values.shape[1:])
    data = group.create_dataset(
        name,
        shape=values.shape,
        maxshape=(None, *values.shape[1:]),
        dtype=values.dtype,
        chunks=chunk,
        shuffle=True,
        compression="gzip",
        compression_opts=1,
        track_times=False,
    )
    for first in range(0, len(values), CHUNK_ROWS):
        block = values[first : first + CHUNK_ROWS]
        if len(block) < CHUNK_ROWS:
            whole = np.zeros(chunk, values.dtype)
            whole[: len(block)] = block
            block = whole
        block = np.ascontiguousarray(block)
        shuffled = block.view(np.uint8).reshape(-1, values.dtype.itemsize).T.copy()
        offset = (first,) + (0,) * (values.ndim - 1)
        data.id.write_direct_chunk(offset, isal_zlib.compress(shuffled, 1))


def commit_store(
    folder: Path, manifest: dict[str, Any], vocabulary: Sequence[str], extra: Sequence[str] = ()
) -> None:
    """Make a store of a folder that holds its shards: the manifest is written last.

    manifest["files"] lists the shards with sha256, bytes and rows per split; the other two
    files, and those named in `extra`, are added to it here.
    """
    text = "".join(word + "\n" for word in vocabulary)
    write_atomically(folder / "vocabulary.txt", text.encode())
    _write_virtual(folder, manifest)
    for name in ("vocabulary.txt", "reviews.h5", *extra):
        path = folder / name
        manifest["files"][name] = {"sha256": sha256(path), "bytes": path.stat().st_size}
    body = json.dumps({"format": FORMAT, **manifest}, indent=1, ensure_ascii=False)
    write_atomically(folder / "manifest.json", body.encode() + b"\n")


def _write_virtual(folder: Path, manifest: Mapping[str, Any]) -> None:
    """reviews.h5: virtual datasets that show all shards as one file."""
    wide = np.dtype(np.uint32 if manifest["vocabulary_size"] > 1 << 16 else np.uint16)
    path = folder / "reviews.h5"
    with atomic_path(path) as temporary, h5py.File(temporary, "w", libver="v110") as file:
        for split in SPLITS:
            group = file.create_group(split)
            parts = [
                (name, entry["rows"][split])
                for name, entry in manifest["files"].items()
                if entry["rows"][split]
            ]
            rows = sum(n for _, n in parts)
            shapes: dict[str, tuple[tuple[int, ...], np.dtype]]
            shapes = {"tokens": ((rows, manifest["length"]), wide)}
            for name, dtype in COLUMNS.items():
                shapes[name] = ((rows,), dtype)
            if features := manifest.get("features"):
                shapes["features"] = ((rows, len(features["names"])), FEATURES)
            for column, (shape, dtype) in shapes.items():
                sources = [(name, f"{split}/{column}", n) for name, n in parts]
                _create_virtual(group, column, shape, dtype, sources)


def _create_virtual(
    group: h5py.Group, name: str, shape: tuple[int, ...], dtype: np.dtype,
    sources: Sequence[tuple[str, str, int]],
) -> None:
    """A virtual dataset over (file, dataset, rows) one after another.

    h5py's own call would put the time of day into the file.
    """
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)
    space = h5py.h5s.create_simple(shape)
    first = 0
    for file, dataset, rows in sources:
        part = (rows, *shape[1:])
        space.select_hyperslab((first,) + (0,) * (len(shape) - 1), part)
        properties.set_virtual(
            space, file.encode(), dataset.encode(), h5py.h5s.create_simple(part)
        )
        first += rows
    space.select_all()
    kind = h5py.h5t.py_create(dtype, logical=True)
    h5py.h5d.create(group.id, name.encode(), kind, space, properties)


def empty_manifest(recipe_values: dict[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """The fixed part of a manifest; the writer adds files, splits and records."""
    recipe = from_mapping(Recipe, recipe_values, "recipe")
    return {
        "recipe": recipe_values,
        "classes": list(classes),
        "padding": PADDING,
        "unknown": UNKNOWN,
        "special": {},
        "length": recipe.length,
    }


def sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` when the block ends well."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def read_chunk(data: h5py.Dataset, number: int) -> Array:
    """Rows number * 1,024 and on, at most 1,024 of them, of a dataset of a shard.

    The deflate stream is read as it is and inflated outside of HDF5, several times as fast.
    """
    first = number * CHUNK_ROWS
    offset = (first,) + (0,) * (data.ndim - 1)
    skipped, stream = data.id.read_direct_chunk(offset)
    if skipped:
        raise UserError(f"{data.file.filename} is no shard: {data.name} skips a filter")
    size = data.dtype.itemsize
    planes = np.frombuffer(isal_zlib.decompress(stream), np.uint8).reshape(size, -1)
    # The planes are all first bytes, all second ...: the last holds the highest.
    values = planes[-1].astype(f"<u{size}")
    for plane in planes[-2::-1]:
        values <<= 8
        values |= plane
    rows: Array = values.view(data.dtype).reshape(CHUNK_ROWS, *data.shape[1:])
    return rows[: len(data) - first]
