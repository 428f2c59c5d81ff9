"""Batches hold the store's rows, each once, and nothing but verified bytes."""

from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from models.nets.predict import to_tensors
from mpi_train.data import BatchReader, SplitReader
from reviews.errors import UserError
from reviews.store import Store
from tests.stores import make_store

ROWS = {"train": 5000, "validation": 2500}
Row = tuple[tuple[int, ...], int]  # the words, the label


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("data") / "store", ROWS, length=16, shards=3)


def stored(store: Store, split: str) -> list[Row]:
    """All rows of a split, read by h5py alone through the file that shows them as one."""
    with h5py.File(store.path / "reviews.h5", "r", locking=False) as file:
        tokens, lengths, labels = (file[split][name][:] for name in ("tokens", "length", "label"))
    return [(tuple(words[:n].tolist()), int(label))
            for words, n, label in zip(tokens, lengths, labels, strict=True)]


def batch_rows(reader: BatchReader, epoch: int, update: int) -> list[Row]:
    batch = reader.batch(epoch, update)
    rows = batch.take(0, len(batch.lengths))
    return [(tuple(words[:n].tolist()), int(label))
            for words, n, label in zip(rows.tokens, rows.lengths, rows.labels, strict=True)]


@pytest.mark.parametrize("batch_size", [300, 4999, 6000])
@pytest.mark.parametrize("window", [1, 2, 64])
def test_the_batches_of_an_epoch_are_the_rows_of_the_store(
    store: Store, batch_size: int, window: int
) -> None:
    reader = BatchReader(store, "train", batch_size, seed=1, window=window)
    rows = [row for update in range(reader.plan.updates)
            for row in batch_rows(reader, 0, update)]
    assert sorted(rows) == sorted(stored(store, "train"))


def test_a_batch_is_the_same_whatever_was_read_before_it(store: Store) -> None:
    in_order = BatchReader(store, "train", 700, seed=1, window=2)
    one_by_one = {(epoch, update): batch_rows(in_order, epoch, update)
                  for epoch in range(2) for update in range(in_order.plan.updates)}
    anywhere = BatchReader(store, "train", 700, seed=1, window=2)
    for place in [(1, 5), (0, 7), (0, 0), (1, 4), (0, 3)]:
        assert batch_rows(anywhere, *place) == one_by_one[place]


@pytest.mark.parametrize("window", [1, 64])
def test_an_epoch_has_the_reviews_of_each_class_as_often_as_asked_for(
    store: Store, window: int
) -> None:
    reader = BatchReader(store, "train", 300, seed=1, window=window, times=(3, 1))
    found = Counter(row for update in range(reader.plan.updates)
                    for row in batch_rows(reader, 1, update))
    rows = Counter(stored(store, "train"))
    assert found == {row: count * (1 if row[1] else 3) for row, count in rows.items()}
    assert reader.plan.rows == found.total()
    assert all(len(reader.batch(1, update).labels) == 300
               for update in range(reader.plan.updates - 1))


def test_a_batch_is_sorted_by_length(store: Store) -> None:
    lengths = BatchReader(store, "train", 700, seed=1, window=2).batch(0, 3).lengths
    assert (np.diff(lengths) >= 0).all()


def test_rows_that_are_taken_are_as_wide_as_their_longest(store: Store) -> None:
    batch = BatchReader(store, "train", 700, seed=1, window=2).batch(0, 3)
    for first, last in ((0, 10), (100, 101), (650, 700)):
        rows = batch.take(first, last)
        assert rows.tokens.shape == (last - first, batch.lengths[last - 1])
        np.testing.assert_array_equal(rows.lengths, batch.lengths[first:last])


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_rows_of_a_whole_epoch_reach_the_device_as_they_were_taken(
    store: Store, device: str
) -> None:
    reader = BatchReader(store, "train", 50, seed=1, window=2)
    taken = [reader.batch(0, update).take(0, 50) for update in range(reader.plan.updates)]
    sent = [to_tensors(rows, torch.device(device)) for rows in taken]
    for rows, (tokens, lengths) in zip(taken, sent, strict=True):
        assert tokens.device.type == lengths.device.type == device
        np.testing.assert_array_equal(tokens.cpu(), rows.tokens)
        np.testing.assert_array_equal(lengths.cpu(), rows.lengths)


@pytest.mark.parametrize("ratios", [[1], [1, 1], [3, 0, 1, 0.5, 2]])
def test_the_blocks_of_all_ranks_are_the_split_in_order(
    store: Store, ratios: list[float]
) -> None:
    blocks = [block for rank in range(len(ratios))
              for block in SplitReader(store, "validation").blocks(rank, ratios)]
    assert len({number for number, _ in blocks}) == len(blocks)
    rows = [(tuple(words[:n].tolist()), int(label))
            for _, part in sorted(blocks, key=lambda block: block[0])
            for words, n, label in zip(part.tokens, part.lengths, part.labels, strict=True)]
    assert rows == stored(store, "validation")


def test_a_batch_knows_its_words(store: Store) -> None:
    reader = BatchReader(store, "train", 300, 0, 2)
    used = {word for words, _ in batch_rows(reader, 0, 3) for word in words}
    found = reader.batch(0, 3).words(store.vocabulary_size, 0, 1).tolist()
    assert found == sorted(found)
    assert set(found) == used | {0, 1}


def copy_of(folder: Path) -> Store:
    return make_store(folder / "copy", {"train": 300, "validation": 20}, length=16)


def test_a_damaged_shard_is_refused_before_a_row_of_it_is_used(tmp_path: Path) -> None:
    store = copy_of(tmp_path)
    shard = store.path / "shards" / "part-00001.h5"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    reader = SplitReader(store, "train")
    assert len(reader.read([(0, 0)]).labels) == 150
    with pytest.raises(UserError, match=r"part-00001\.h5 is damaged: its sha256 is not"):
        reader.read([(1, 0)])


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    store = copy_of(tmp_path)
    (store.path / "shards" / "part-00000.h5").unlink()
    with pytest.raises(UserError, match=r"part-00000\.h5 is missing from the store"):
        BatchReader(store, "train", 10, seed=0, window=64).batch(0, 0)


def test_a_shard_that_is_damaged_while_a_window_is_read_ahead_stops_the_batch_that_needs_it(
    tmp_path: Path
) -> None:
    store = make_store(tmp_path / "store", {"train": 3000}, length=16, shards=3)
    reader = BatchReader(store, "train", 500, seed=0, window=1)
    last = store.path / "shards" / f"part-{reader.plan.epoch(0).chunks[-1]:05d}.h5"
    last.write_bytes(b"no shard")
    assert len(reader.batch(0, 0).lengths) == 500
    with pytest.raises(UserError, match=f"{last.name} is damaged"):
        for update in range(1, 6):
            reader.batch(0, update)
