"""Words that begin with given vectors, those of the store."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpi_train import evaluate
from mpi_train.__main__ import main
from mpi_train.configuration.resolve import resolve
from reviews.bundle import read_bundle
from reviews.errors import UserError
from reviews.options import flatten
from reviews.store import Store
from tests.mpi_train.runs import arguments, difference, losses, train
from tests.stores import make_store

ROWS = {"train": 600, "validation": 80}
WIDTH, IDS = 5, 62


def given_vectors() -> np.ndarray:
    """As a file gives them: none for padding, the unknown word and every tenth word."""
    vectors = np.random.default_rng(4).normal(size=(IDS, WIDTH)).astype(np.float32)
    vectors[:2] = vectors[10::10] = 0
    return vectors


HAVE = given_vectors().any(1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("vectors") / "store", ROWS, length=16, vocabulary=60,
                      vectors=given_vectors())


def run_of(store: Store, out: Path, **options: Any) -> Path:
    """A run whose words are as wide as the store's vectors, without being told so."""
    values = {"keep": "last", "epochs": 1, "word_vectors": "store", **options}
    line = arguments(store, out, **values)
    assert main([part for part in line if not part.startswith("--embedding-dim")]) == 0
    return out


def words_of(run: Path) -> np.ndarray:
    return read_bundle(run).weights["embedding.weight"]


@pytest.mark.parametrize("model", ["lstm", "gru", "bilstm-attention", "cnn"])
def test_frozen_vectors_stay_and_the_rest_of_the_model_learns(
    model: str, store: Store, tmp_path: Path
) -> None:
    options = {"model": model, "learning_rate": 0.03, "weight_decay": 0.1, "optimizer": "adamw",
               "freeze_vectors": True}
    frozen = run_of(store, tmp_path / "frozen", epochs=5, **options)
    np.testing.assert_array_equal(words_of(frozen)[HAVE], given_vectors()[HAVE])
    assert np.mean(losses(frozen)[-10:]) < np.mean(losses(frozen)[:10]) - 0.02
    # Words without a vector have a random one, and keep that.
    shorter = run_of(store, tmp_path / "shorter", max_steps=1, **options)
    assert words_of(frozen)[~HAVE].any(1).all()
    np.testing.assert_array_equal(words_of(shorter), words_of(frozen))


def test_vectors_that_are_not_frozen_begin_as_given_and_are_learned_too(
    store: Store, tmp_path: Path
) -> None:
    barely = run_of(store, tmp_path / "barely", learning_rate=1e-9)
    np.testing.assert_allclose(words_of(barely)[HAVE], given_vectors()[HAVE], atol=1e-6)
    learned = run_of(store, tmp_path / "learned", learning_rate=0.01)
    assert np.abs(words_of(learned)[HAVE] - given_vectors()[HAVE]).max() > 0.01


def test_a_moving_average_holds_frozen_vectors_as_they_are(store: Store, tmp_path: Path) -> None:
    run = run_of(store, tmp_path / "run", freeze_vectors=True, keep="average")
    np.testing.assert_array_equal(words_of(run)[HAVE], given_vectors()[HAVE])


def test_the_bundle_has_all_of_them_and_says_so(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(store, tmp_path / "run", freeze_vectors=True)
    figures = read_bundle(run).model["validation"]
    assert "given vectors of 5 numbers, which were kept" in (run / "model/card.md").read_text()
    # The same reviews in a store that never had vectors.
    bare = make_store(tmp_path / "bare", ROWS, length=16, vocabulary=60)
    capsys.readouterr()
    assert evaluate.main([str(run), "--store", str(bare.path), "--split", "validation",
                          "--threads", "1"]) == 0
    assert f"accuracy {figures['accuracy']:.2%}" in capsys.readouterr().out


def test_a_run_with_frozen_vectors_resumes_to_the_very_same_weights(
    store: Store, tmp_path: Path
) -> None:
    options = {"freeze_vectors": True, "schedule": "constant"}
    whole = run_of(store, tmp_path / "whole", **options)
    parted = run_of(store, tmp_path / "parted", **options, max_steps=4)
    assert main(["--out", str(parted), "--resume", "--max-steps", "0"]) == 0
    assert difference(read_bundle(whole).weights, read_bundle(parted).weights) == 0


@pytest.mark.parametrize(("options", "message"), [
    ({"embedding_dim": 6}, "--embedding-dim is 6, but the word vectors of .* have 5 numbers"),
    ({"config": "electronics"}, "--embedding-dim is 300, but .*: give --embedding-dim 5"),
    ({"model": "bag"}, "--word-vectors is for lstm, gru, bilstm-attention, cnn"),
    ({"word_vectors": "none", "freeze_vectors": True}, "--freeze-vectors is about"),
])
def test_vectors_that_do_not_fit_are_refused(
    options: dict[str, Any], message: str, store: Store, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        resolve({"store": str(store.path), "out": str(tmp_path / "run"), "word_vectors": "store",
                 **options})


def test_words_of_the_default_training_are_as_wide_as_the_vectors(
    store: Store, tmp_path: Path
) -> None:
    named = {"store": str(store.path), "out": str(tmp_path / "run")}
    values = flatten(resolve({**named, "word_vectors": "store"}))
    assert values["embedding_dim"] == store.vector_width
    with pytest.raises(UserError, match="give --embedding-dim"):
        resolve({**named, "word_vectors": "store", "config": "electronics"})


def test_a_store_needs_the_vectors_that_words_begin_with(store: Store, tmp_path: Path) -> None:
    bare = make_store(tmp_path / "bare", ROWS, length=16, vocabulary=60)
    with pytest.raises(UserError, match=r"has no word vectors: prepare it with --vectors FILE"):
        train(bare, tmp_path / "run", word_vectors="store")
    damaged = Path(shutil.copytree(store.path, tmp_path / "damaged"))
    file = damaged / "vectors.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match=r"vectors.npy is damaged: its sha256"):
        run_of(Store(damaged), tmp_path / "other")
    file.unlink()
    with pytest.raises(UserError, match=r"vectors.npy is missing from the store"):
        run_of(Store(damaged), tmp_path / "third")
