"""A store is read back as written, is the same bytes each time, and shows every damage."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from reviews.errors import UserError
from reviews.labels import NO_LABEL
from reviews.recipe import SPLITS
from reviews.storage.folders import sha256, write_atomically
from reviews.storage.verify import verify_store
from reviews.store import CHUNK_ROWS, ChunkReader, Store, write_shard
from tests.stores import make_store

ROWS = {"train": 2600, "validation": 300, "test": 40}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store", ROWS)


def edit_manifest(store: Store, change: Callable[[dict[str, Any]], object]) -> Store:
    manifest = json.loads((store.path / "manifest.json").read_text())
    change(manifest)
    (store.path / "manifest.json").write_text(json.dumps(manifest))
    return Store(store.path)


def edit_shard(store: Store, change: Callable[[h5py.File], object]) -> Store:
    """Change a shard and its sha256, so that only the invariants can tell."""
    path = store.path / "shards/part-00000.h5"
    with h5py.File(path, "r+", locking=False) as file:
        change(file)
    return edit_manifest(
        store, lambda m: m["files"]["shards/part-00000.h5"].update(sha256=sha256(path)))


def test_a_chunk_read_directly_is_what_hdf5_reads(store: Store) -> None:
    with h5py.File(store.shards("train")[0].path, locking=False) as file:
        for column in file["train"].values():
            chunks = range(-(-len(column) // CHUNK_ROWS))
            assert len(chunks) == 2
            reader = ChunkReader(column)
            found = np.concatenate([reader.read(number) for number in chunks])
            np.testing.assert_array_equal(found, column[:])
            place = np.zeros_like(found)
            for number in chunks:
                reader.read(number, place[number * CHUNK_ROWS :][:CHUNK_ROWS])
            np.testing.assert_array_equal(place, found)


def test_the_virtual_file_shows_the_rows_of_all_shards_in_order(store: Store) -> None:
    with h5py.File(store.path / "reviews.h5", locking=False) as whole:
        for split in SPLITS:
            shards = store.shards(split)
            assert sum(shard.rows for shard in shards) == store.rows(split) == ROWS[split]
            for column, values in whole[split].items():
                parts = [h5py.File(shard.path, locking=False)[split][column][:] for shard in shards]
                assert (values[:] == np.concatenate(parts)).all() or column == "rating"


def test_the_virtual_file_stays_whole_when_the_store_is_moved(store: Store) -> None:
    with h5py.File(store.path / "reviews.h5", locking=False) as file:
        before = file["train/tokens"][:]
    moved = store.path.rename(store.path.with_name("moved"))
    with h5py.File(moved / "reviews.h5", locking=False) as file:
        assert (file["train/tokens"][:] == before).all()


def test_rows_of_a_missing_shard_have_no_label_in_the_virtual_file(store: Store) -> None:
    missing = store.shards("train")[0]
    missing.path.unlink()
    with h5py.File(store.path / "reviews.h5", locking=False) as file:
        labels, ratings = file["train/label"][:], file["train/rating"][:]
    assert (labels[: missing.rows] == NO_LABEL).all()
    assert (labels[missing.rows :] < NO_LABEL).all()
    assert np.isnan(ratings[: missing.rows]).all()


def test_any_reader_of_hdf5_gets_the_columns_that_were_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 2500
    columns = {
        "tokens": rng.integers(0, 70_000, (n, 7)).astype(np.uint32),
        "length": rng.integers(1, 8, n).astype(np.uint16),
        "label": rng.integers(0, 2, n).astype(np.uint8),
        "rating": rng.choice([1, 2.5, np.nan], n).astype(np.float32),
        "review_id": rng.integers(0, 2**63, n).astype(np.uint64) * np.uint64(2),
    }
    splits = {"train": columns, "validation": {k: v[:1024] for k, v in columns.items()},
              "test": {k: v[:0] for k, v in columns.items()}}
    write_shard(tmp_path / "a.h5", splits)
    with h5py.File(tmp_path / "a.h5", locking=False) as file:
        for split, wanted in splits.items():
            for name, values in wanted.items():
                data = file[split][name]
                assert data.dtype == values.dtype
                assert data.chunks == (1024, *values.shape[1:])
                assert data.shuffle
                assert data.compression == "gzip"
                np.testing.assert_array_equal(data[:], values)
    write_shard(tmp_path / "b.h5", splits)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_a_whole_store_has_no_faults(store: Store) -> None:
    assert list(verify_store(store)) == []


def test_one_flipped_bit_of_any_file_is_found(store: Store) -> None:
    for name in store.manifest["files"]:
        path = store.path / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        assert any(name in fault for fault in verify_store(store)), name
        path.write_bytes(whole)
    assert list(verify_store(store)) == []


def test_a_missing_and_a_foreign_shard_are_found(store: Store) -> None:
    shard = store.path / "shards/part-00001.h5"
    shard.rename(store.path / "shards/other.h5")
    faults = list(verify_store(store))
    assert "shards/part-00001.h5 is missing" in faults
    assert "shards/other.h5 is not in the manifest" in faults


def put(name: str, value: Any) -> Callable[[h5py.File], object]:
    return lambda file: file[name].__setitem__(0, value)


def drop(name: str) -> Callable[[h5py.File], object]:
    return lambda file: file.__delitem__(name)


def pad_inside(file: h5py.File) -> None:
    file["train/tokens"][0, 0] = 0


def write_behind_the_end(file: h5py.File) -> None:
    row = int(np.argmin(file["train/length"][:]))
    file["train/tokens"][row, -1] = 5


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (put("train/length", 0), "train/length is not within 1 to 32"),
        (put("train/length", 33), "train/length is not within 1 to 32"),
        (put("test/label", 2), "test/label names a class that is not there"),
        (put("validation/tokens", 60_000), "ids that are not in the vocabulary"),
        (pad_inside, "padding inside of a review"),
        (write_behind_the_end, "train/tokens is not padded with 0"),
        (drop("train/rating"), "train/rating is not (1300,) of float32"),
    ],
)
def test_a_broken_invariant_is_named(
    store: Store, change: Callable[[h5py.File], object], fault: str
) -> None:
    assert any(fault in found for found in verify_store(edit_shard(store, change)))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda m: m["splits"]["test"].update(rows=41), "test: 41 rows promised"),
        (lambda m: m["splits"]["train"]["labels"].update(positive=0), "train: labels"),
        (lambda m: m["records"].update(read=7), "7 records were read, but 2940"),
        (lambda m: m.update(vocabulary_size=99), "200 words for 99 ids"),
    ],
)
def test_a_manifest_that_promises_something_else_is_found(
    store: Store, change: Callable[[dict[str, Any]], object], fault: str
) -> None:
    assert any(fault in found for found in verify_store(edit_manifest(store, change)))


def test_a_word_named_twice_is_found(store: Store) -> None:
    words = store.vocabulary_file.read_text().replace("w1\n", "w0\n", 1)
    store.vocabulary_file.write_text(words)
    assert "vocabulary.txt names a word twice" in list(verify_store(store))


def test_another_version_is_refused_by_both_names(store: Store) -> None:
    with pytest.raises(UserError, match=r"reviewmill-store/9; .*reads reviewmill-store/1"):
        edit_manifest(store, lambda m: m.update(format="reviewmill-store/9"))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest.json cannot be read"):
        Store(tmp_path)


def test_an_unknown_split_is_refused(store: Store) -> None:
    with pytest.raises(UserError, match="train, validation, test"):
        store.rows("dev")


def test_a_file_that_cannot_be_written_whole_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
