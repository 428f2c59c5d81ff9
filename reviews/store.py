"""The store: HDF5 shards and a manifest, written whole or not at all (docs/store-format.md)."""

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from isal import isal_zlib

from reviews.errors import UserError
from reviews.labels import NO_LABEL
from reviews.options import from_mapping
from reviews.recipe import SPLITS, Recipe
from reviews.storage.files import at_once, is_remote
from reviews.storage.folders import (
    FETCHES,
    check_plain,
    join,
    read_whole,
    sha256,
    whole_file,
    write_whole,
)
from reviews.storage.kinds import instead, kind_of_format
from reviews.storage.staging import cache_folder, staged_file
from reviews.vocabulary import PADDING, UNKNOWN

FORMAT = "reviewmill-store/1"
CHUNK_ROWS = 1024
# Fields that every manifest has.
NEEDED = {"files", "splits", "recipe", "length", "vocabulary_size", "padding", "unknown", "classes"}
NOTHING: Mapping[str, Path] = {}
Array = np.ndarray
# tokens (n, L), length, label, rating, review_id (n), and features (n, F) and keys (n) where there
# are any
Columns = Mapping[str, Array]

COLUMNS: dict[str, np.dtype] = {
    "length": np.dtype(np.uint16),
    "label": np.dtype(np.uint8),
    "rating": np.dtype(np.float32),
    "review_id": np.dtype(np.uint64),
}
FEATURES = np.dtype(np.float32)
# Columns of the keys that a recipe keeps.
KEY_TYPES: dict[str, np.dtype] = {
    "reviewer": np.dtype(np.uint64),
    "product": np.dtype(np.uint64),
    "time": np.dtype(np.int64),
    "source": np.dtype(np.uint64),
}
NO_KEY = 0  # of a review without a reviewer, product or source
NO_TIME = int(np.iinfo(np.int64).min)
# What reviews.h5 shows of a shard that is missing: values that no row has.
FILL = {"label": NO_LABEL, "rating": np.nan, "time": NO_TIME}


@dataclass(frozen=True)
class Shard:
    """One HDF5 file and its number of rows in the split that was asked for."""

    path: Path
    rows: int


class Store:
    """A committed store, opened for reading: a folder, or an address such as hdfs://.

    Args:
        stage: a folder that its files are copied to, and read from, when they are asked for.
    """

    def __init__(self, path: str | Path, stage: str | Path | None = None) -> None:
        self.address = str(path)
        try:
            raw = read_whole(join(self.address, "manifest.json"))
            self.manifest: dict[str, Any] = json.loads(raw)
            version = self.manifest["format"]
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(
                f"{path} is not a store: it has no manifest.json{instead(path)}") from None
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(f"{path} is not a store: its manifest.json cannot be read") from None
        if version != FORMAT:
            if (kind := kind_of_format(version)) not in (None, "a store"):
                raise UserError(f"{path} is not a store; it is {kind}")
            raise UserError(f"{path} has the format {version}; this program reads {FORMAT}")
        if absent := NEEDED - set(self.manifest):
            raise UserError(f"{path} is not a store: its manifest.json has no {min(absent)!r}")
        for name in self.manifest["files"]:
            check_plain(name, join(self.address, "manifest.json"))
        self.fingerprint = hashlib.sha256(raw).hexdigest()
        # Files of a store that lies elsewhere are fetched to a local folder when they are read.
        self.is_remote = is_remote(self.address)
        self.path = Path(path)
        if stage:
            self.path = Path(stage, self.fingerprint[:32])
        elif self.is_remote:
            self.path = cache_folder(self.fingerprint)
        self._staged = bool(stage) or self.is_remote
        self.length: int = self.manifest["length"]
        self.vocabulary_size: int = self.manifest["vocabulary_size"]
        self.padding: int = self.manifest["padding"]
        self.unknown: int = self.manifest["unknown"]
        self.classes: list[str] = self.manifest["classes"]
        # Names of the columns of the dataset `features`; empty where a store has none.
        features = self.manifest.get("features", {})
        self.feature_names: list[str] = features.get("names", [])
        # How they are made from fields, as reviews.features.Encoding takes it.
        self.feature_encoding: list[dict[str, Any]] = features.get("encoding", [])
        # Keys of reviews that it keeps, of KEY_TYPES.
        self.keys: list[str] = list(self.manifest.get("keys", {}))
        # Numbers of each given word vector; 0 where a store has none.
        self.vector_width: int = self.manifest.get("vectors", {}).get("dimension", 0)

    @property
    def vocabulary_file(self) -> Path:
        """The words, one a line."""
        return self.file("vocabulary.txt")

    @property
    def tokenizer_file(self) -> Path | None:
        """The tokenizer.json, where the tokens are not words."""
        name = "tokenizer.json"
        return self.file(name) if name in self.manifest["files"] else None

    def vectors(self) -> Array:
        """The given word vectors (ids, d) float32, of a store that has some.

        UserError when their file is missing or damaged.
        """
        path = self.file("vectors.npy")
        self.check_file(path)
        vectors: Array = np.load(path, allow_pickle=False)
        return vectors

    def check_file(self, path: Path) -> None:
        """Raise UserError where a local file of the store is missing or damaged."""
        if not path.is_file():
            raise UserError(f"{path} is missing from the store")
        entry = self.manifest["files"][path.relative_to(self.path).as_posix()]
        if sha256(path) != entry["sha256"]:
            raise UserError(f"{path} is damaged: its sha256 is not the manifest's")

    def file(self, name: str) -> Path:
        """The local path of a file that the manifest names."""
        if self._staged:
            digest = self.manifest["files"][name]["sha256"]
            return staged_file(self.address, name, digest, self.path)
        return self.path / name

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe that made the store."""
        where = join(self.address, "manifest.json")
        return from_mapping(Recipe, self.manifest["recipe"], where)

    def rows(self, split: str) -> int:
        """Number of rows of one of the splits train, validation, test."""
        if split not in SPLITS:
            raise UserError(f"no split {split!r}; a store has {', '.join(SPLITS)}")
        return int(self.manifest["splits"][split]["rows"])

    def shards(self, split: str) -> list[Shard]:
        """The shards that hold rows of the split, in the order of the manifest; those of a store
        that lies elsewhere are fetched, several at once."""
        found = {name: entry["rows"][split] for name, entry in self.manifest["files"].items()
                 if entry.get("rows", {}).get(split)}
        if self._staged:
            at_once(lambda path: self.file(path.removeprefix(join(self.address, ""))),
                    [join(self.address, name) for name in found], FETCHES)
        return [Shard(self.file(name), rows) for name, rows in found.items()]


def write_shard(path: Path, splits: Mapping[str, Columns]) -> None:
    """Write one shard: a group for each split; the same columns give the same bytes."""
    with h5py.File(path, "w", libver="v110", locking=False) as file:
        for split in SPLITS:
            group = h5py.h5g.create(file.id, split.encode(), gcpl=_group_layout())
            for name, values in splits[split].items():
                _write_column(group, name, values)


def _write_column(group: h5py.h5g.GroupID, name: str, values: Array) -> None:
    """One dataset in chunks of 1,024 rows, byte-shuffled and deflated outside of HDF5.

    h5py's own call takes three times as long to create one: much, where shards are small.
    """
    more = values.shape[1:]
    space = h5py.h5s.create_simple(values.shape, (h5py.h5s.UNLIMITED, *more))
    kind, properties = _layout(values.dtype, more)
    data = h5py.h5d.create(group, name.encode(), kind, space, properties)
    chunk = (CHUNK_ROWS, *more)
    for first in range(0, len(values), CHUNK_ROWS):
        block = values[first : first + CHUNK_ROWS]
        if len(block) < CHUNK_ROWS:
            whole = np.zeros(chunk, values.dtype)
            whole[: len(block)] = block
            block = whole
        shuffled = _byte_planes(np.ascontiguousarray(block))
        offset = (first,) + (0,) * len(more)
        data.write_direct_chunk(offset, isal_zlib.compress(shuffled, 1))


@lru_cache(1)
def _group_layout() -> Any:
    """HDF5's creation properties of a group."""
    properties = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    properties.set_obj_track_times(False)
    return properties


@lru_cache(64)
def _layout(dtype: np.dtype, more: tuple[int, ...]) -> tuple[Any, Any]:
    """HDF5's type and creation properties of a dataset whose rows have this shape."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((CHUNK_ROWS, *more))
    properties.set_shuffle()
    properties.set_deflate(1)
    properties.set_obj_track_times(False)
    return h5py.h5t.py_create(dtype, logical=True), properties


def _byte_planes(block: Array) -> Array:
    """The lowest bytes of all elements, then the next ones ...: (bytes of one, elements)."""
    size = block.dtype.itemsize
    flat = block.reshape(-1).view(f"<u{size}")
    planes = np.empty((size, flat.size), np.uint8)
    for place in range(size):
        # The upper bytes are cut off: faster than strides, and without a copy in between.
        np.right_shift(flat, 8 * place, out=planes[place], casting="unsafe")
    return planes


def commit_store(
    folder: str, manifest: dict[str, Any], vocabulary: Sequence[str],
    extra: Mapping[str, Path] = NOTHING,
) -> None:
    """Make a store of a folder that holds its shards: the manifest is written last.

    manifest["files"] lists the shards with sha256, bytes and rows per split; the other two
    files, and copies of those in `extra` (by name), are written and added to it here.
    """
    writers: dict[str, Callable[[Path], Any]] = {
        "vocabulary.txt": lambda path: _write_words(path, vocabulary),
        "reviews.h5": lambda path: _write_virtual(path, manifest),
    }
    for name, source in extra.items():
        writers[name] = partial(shutil.copyfile, source)
    others: dict[str, dict[str, Any]] = {}
    for name, write in writers.items():
        with whole_file(join(folder, name)) as path:
            write(path)
            others[name] = {"sha256": sha256(path), "bytes": path.stat().st_size}
    manifest["files"] |= others
    body = json.dumps({"format": FORMAT, **manifest}, indent=1, ensure_ascii=False)
    write_whole(join(folder, "manifest.json"), body.encode() + b"\n")


def _write_words(path: Path, vocabulary: Sequence[str]) -> None:
    path.write_bytes("".join(word + "\n" for word in vocabulary).encode())


def _write_virtual(path: Path, manifest: Mapping[str, Any]) -> None:
    """reviews.h5: virtual datasets that show all shards as one file."""
    wide = np.dtype(np.uint32 if manifest["vocabulary_size"] > 1 << 16 else np.uint16)
    with h5py.File(path, "w", libver="v110", locking=False) as file:
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
            for name in manifest.get("keys", {}):
                shapes[name] = ((rows,), KEY_TYPES[name])
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
    if name in FILL:
        properties.set_fill_value(np.array(FILL[name], dtype))
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
        "length": recipe.encoding.length,
    }


class ChunkReader:
    """Chunks of one dataset of a shard, inflated outside of HDF5, several times as fast.

    To ask HDF5 for a shape takes as long as to read a small chunk, so that is done once.
    """

    def __init__(self, data: h5py.Dataset) -> None:
        self._data, self._read = data, data.id.read_direct_chunk
        self.shape: tuple[int, ...] = data.shape
        self.dtype: np.dtype = data.dtype
        self._bytes = self.dtype.itemsize * math.prod(data.chunks)

    def read(self, number: int, out: Array | None = None) -> Array:
        """Rows number * 1,024 and on, at most 1,024 of them.

        Args:
            out: where to put them, as many rows of the dataset's own type; else a new array.
        """
        first = number * CHUNK_ROWS
        skipped, stream = self._read((first,) + (0,) * (len(self.shape) - 1))
        if skipped:
            name = self._data.file.filename
            raise UserError(f"{name} is no shard: {self._data.name} skips a filter")
        if out is None:
            rows = min(CHUNK_ROWS, self.shape[0] - first)
            out = np.empty((rows, *self.shape[1:]), self.dtype)
        size = self.dtype.itemsize
        inflated = isal_zlib.decompress(stream, bufsize=self._bytes)
        planes = np.frombuffer(inflated, np.uint8).reshape(size, -1)[:, : out.size]
        # The planes are all first bytes, all second ...: the last holds the highest.
        values, high = out.reshape(-1).view(f"<u{size}"), planes[-1]
        if size == 1:
            values[:] = high
        for plane in planes[-2::-1]:
            high = np.left_shift(high, 8, out=values, dtype=values.dtype)
            np.bitwise_or(values, plane, out=values)
        return out
