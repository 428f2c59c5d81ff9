"""Ids of the words of a vocabulary."""

from pathlib import Path

import h5py
import numpy as np

from reviews.recipe import Recipe
from reviews.storage.verify import verify_store
from tests.mapreduce.corpus import run, stored_rows, write_reviews


def test_more_words_than_16_bits_can_name_are_stored_in_32(tmp_path: Path) -> None:
    rows = [
        {"reviewText": " ".join(f"w{100 * i + k}" for k in range(100)), "overall": 5}
        for i in range(700)
    ]
    path = write_reviews(tmp_path / "a.json", rows)
    recipe = Recipe.of(vocabulary_size=70_000, length=100, split=(1, 0, 0))
    store = run([path], tmp_path / "wide", recipe)
    assert store.vocabulary_size == 70_002
    with h5py.File(store.path / "reviews.h5", locking=False) as file:
        assert file["train/tokens"].dtype == np.uint32
        assert file["train/tokens"][:].max() == 70_001
    assert not list(verify_store(store))
    assert {row["words"] for row in stored_rows(store)} == {
        tuple(row["reviewText"].split()) for row in rows}
    narrow = run([path], tmp_path / "narrow", Recipe.of(vocabulary_size=65_534, split=(1, 0, 0)))
    with h5py.File(narrow.path / "reviews.h5", locking=False) as file:
        assert file["train/tokens"].dtype == np.uint16


def test_the_most_frequent_words_come_first_and_ties_by_their_bytes(tmp_path: Path) -> None:
    texts = ["b b c", "é z a", "\U00020000 é c", "b"]
    path = write_reviews(
        tmp_path / "a.json", [{"reviewText": text, "overall": 5} for text in texts])
    store = run([path], tmp_path / "store", Recipe.of(split=(1, 0, 0), vocabulary_size=5))
    assert store.vocabulary_file.read_text() == "b\nc\né\na\nz\n"


def test_only_training_rows_are_counted(tmp_path: Path) -> None:
    train = write_reviews(tmp_path / "a.json", [{"reviewText": "tea cup", "overall": 5}])
    test = write_reviews(tmp_path / "b.json", [{"reviewText": "cup saucer", "overall": 1}])
    store = run([train], tmp_path / "store", test=[test])
    assert store.vocabulary_file.read_text() == "cup\ntea\n"
    rows = {row["split"]: row["words"] for row in stored_rows(store)}
    assert rows == {"train": ("tea", "cup"), "test": ("cup", "<unknown>")}
