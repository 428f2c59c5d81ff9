"""Models that read what a store has beside the text."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from imblearn.over_sampling import SMOTE
from torch import nn

from models.nets import build
from models.records import make_options
from mpi_train import evaluate
from mpi_train.__main__ import main
from mpi_train.configuration.resolve import resolve
from mpi_train.data import BatchReader, SplitReader
from mpi_train.exchange.communicator import Communicator
from mpi_train.smote import synthetic_rows
from reviews.bundle import read_bundle
from reviews.errors import UserError
from reviews.features import Encoding
from reviews.recipe import Recipe
from reviews.store import Store
from tests.mapreduce.corpus import run as prepare
from tests.mapreduce.corpus import stored_rows, write_reviews
from tests.mpi_train.runs import arguments, difference, losses, records
from tests.stores import make_store

ROWS = {"train": 1500, "validation": 200}
NAMES = ("likes", "length", "age")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("features") / "store", ROWS, length=16,
                      vocabulary=60, features=NAMES)


def mlp(store: Store, out: Path, **options: Any) -> Path:
    """A run; the options that all runs of these tests have include one that mlp refuses."""
    values = {"store": store.path, "out": out, "model": "mlp", "batch_size": 64, "threads": 1,
              "hidden_dim": 12, "learning_rate": 0.01, "epochs": 4, **options}
    line = [f"--{name.replace('_', '-')}={value}" if value is not True else
            f"--{name.replace('_', '-')}" for name, value in values.items()]
    assert main(line) == 0
    return out


def whole(store: Store) -> list[tuple[bytes, int, bytes]]:
    return [(words[:n].tobytes(), int(label), numbers.tobytes())
            for _, rows in SplitReader(store, "train", features=True).blocks(0, [1.0])
            for words, n, label, numbers in zip(
                rows.tokens, rows.lengths, rows.labels, rows.features, strict=True)]


@pytest.mark.parametrize("window", [1, 64])
def test_every_review_comes_with_its_own_features(store: Store, window: int) -> None:
    reader = BatchReader(store, "train", 400, seed=2, window=window, features=True)
    found = []
    for update in range(reader.plan.updates):
        rows = reader.batch(0, update).take(0, len(reader.batch(0, update).labels))
        found += [(words[:n].tobytes(), int(label), numbers.tobytes())
                  for words, n, label, numbers in zip(
                      rows.tokens, rows.lengths, rows.labels, rows.features, strict=True)]
    assert Counter(found) == Counter(whole(store))


def test_an_mlp_of_features_is_torchs_layers_and_reads_no_text() -> None:
    options = make_options("mlp", dropout=0.3, vocabulary_size=50, padding=0, unknown=1,
                           hidden_dim=5, layers=2, features=3)
    torch.manual_seed(0)
    ours = build(options)
    first, second = ours.layers
    plain = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), ours.output)
    features, lengths = torch.randn(7, 3), torch.ones(7, dtype=torch.int64)
    tokens = torch.randint(0, 50, (7, 4))
    torch.testing.assert_close(ours(tokens, lengths, features), plain(features)[:, 0])
    torch.testing.assert_close(ours(tokens * 0, lengths, features), plain(features)[:, 0])


def test_features_are_learned_from_and_better_together_with_the_text(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = mlp(store, tmp_path / "alone")
    joined = mlp(store, tmp_path / "joined", ngrams=2, buckets=500)
    found = [read_bundle(run).model["validation"]["accuracy"] for run in (alone, joined)]
    assert 0.6 < found[0] < found[1] - 0.05
    assert read_bundle(alone).model["features"] == list(NAMES)
    capsys.readouterr()
    line = [str(joined), "--store", str(store.path), "--split", "validation", "--threads", "1"]
    assert evaluate.main(line) == 0
    assert f"accuracy {found[1]:.2%}" in capsys.readouterr().out
    parted = mlp(store, tmp_path / "parted", ngrams=2, buckets=500, max_steps=30,
                 schedule="constant")
    again = mlp(store, tmp_path / "again", ngrams=2, buckets=500, schedule="constant")
    assert main(["--out", str(parted), "--resume", "--max-steps", "0"]) == 0
    assert difference(read_bundle(parted).weights, read_bundle(again).weights) == 0


def test_made_up_reviews_are_those_of_imbalanced_learn_and_make_classes_equal(
    store: Store, tmp_path: Path
) -> None:
    blocks = [rows for _, rows in SplitReader(store, "train", features=True).blocks(0, [1.0])]
    features = np.concatenate([rows.features for rows in blocks])
    labels = np.concatenate([rows.labels for rows in blocks])
    wanted, wanted_labels = SMOTE(random_state=3).fit_resample(features, labels)[:2]
    rows = synthetic_rows(store, seed=3)
    np.testing.assert_array_equal(rows.features, wanted[len(labels):].astype(np.float32))
    assert Counter([*labels, *rows.labels]) == Counter(wanted_labels)
    counts = np.bincount(labels)
    assert len(rows.labels) == counts.max() - counts.min() > 0
    run = mlp(store, tmp_path / "run", smote=True, seed=3, epochs=1)
    assert records(run, "epoch")[0]["reviews"] == 2 * counts.max()
    assert losses(run) != losses(mlp(store, tmp_path / "plain", seed=3, epochs=1))


@pytest.mark.parametrize(("options", "message"), [
    ({"embedding_dim": 8}, "--embedding-dim is for lstm, gru, .*: --model mlp has no such thing"),
    ({"smote": True, "ngrams": 2}, "--smote is for --model mlp without --ngrams"),
    ({"smote": True, "model": "lstm"}, "--smote is for --model mlp"),
])
def test_what_has_no_sense_for_features_is_refused(
    options: dict[str, Any], message: str, store: Store, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        resolve({"store": str(store.path), "out": str(tmp_path / "run"), "model": "mlp", **options})


def test_a_store_needs_the_features_that_a_model_reads(store: Store, tmp_path: Path) -> None:
    bare = make_store(tmp_path / "bare", ROWS, length=16, vocabulary=60)
    with pytest.raises(UserError, match="has no features for --model mlp to read"):
        resolve({"store": str(bare.path), "out": str(tmp_path / "run"), "model": "mlp"})
    run = mlp(store, tmp_path / "run", max_steps=2, keep="last")
    with pytest.raises(UserError, match="has not the features that the model reads: likes, length"):
        evaluate.main([str(run), "--store", str(bare.path), "--split", "validation"])


Raw = tuple[Store, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Raw:
    """A store made of raw reviews with fields beside the text, and those of its test split."""
    top, rng = tmp_path_factory.mktemp("raw"), random.Random(0)
    rows = []
    for number in range(1200):
        rating = rng.choice([1, 5])
        rows.append({"text": " ".join(f"{number:04d}"), "rating": rating,
                     "likes": rating + rng.gauss(0, 3) if rng.random() < 0.9 else None,
                     "app": rng.choice("abcd" if rating == 5 else "cdef")})
    recipe = Recipe.of(features=("likes", "app:category"), feature_values=3, best_features=4)
    store = prepare([write_reviews(top / "all.json", rows)], top / "store", recipe)
    tested = {int("".join(row["words"])) for row in stored_rows(store) if row["split"] == "test"}
    return store, [row for number, row in enumerate(rows) if number in tested]


def figures_of(capsys: pytest.CaptureFixture[str], *line: str | Path) -> dict[str, Any]:
    capsys.readouterr()
    assert evaluate.main([*map(str, line), "--json", "--threads", "1"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_raw_reviews_get_the_features_of_the_store_that_the_model_learned_from(
    raw: Raw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, tested = raw
    run = mlp(store, tmp_path / "run", ngrams=2, buckets=500)
    stored = figures_of(capsys, run, "--store", store.path)
    files = figures_of(capsys, run, "--input", write_reviews(tmp_path / "raw.json", tested))
    assert files["confusion_matrix"] == stored["confusion_matrix"]
    assert files["loss"] == pytest.approx(stored["loss"], rel=1e-6)
    assert len(store.feature_names) == 4 < Encoding(store.feature_encoding).width
    assert stored["n"] == len(tested) > 100
    assert stored["accuracy"] > 0.7, "a model that learned nothing would prove little"


def test_raw_reviews_without_a_field_that_the_model_reads_are_refused_in_a_line(
    raw: Raw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, tested = raw
    file = write_reviews(tmp_path / "raw.json", [
        {"text": row["text"], "rating": row["rating"], "app": row["app"]} for row in tested])
    run = mlp(store, tmp_path / "run", max_steps=2, keep="last")
    with pytest.raises(UserError, match="no field 'likes' among text, rating, app, for the feat"):
        evaluate.main([str(run), "--input", str(file)])
    # To a model that reads the text alone it is nothing.
    assert main(arguments(store, tmp_path / "text", epochs=1)) == 0
    assert figures_of(capsys, tmp_path / "text", "--input", file)["n"] == len(tested)


def test_a_model_that_does_not_say_how_its_features_are_made_needs_a_store(
    store: Store, tmp_path: Path
) -> None:
    run = mlp(store, tmp_path / "run", max_steps=2, keep="last")
    bundle = read_bundle(run)
    del bundle.model["feature_encoding"]
    request = evaluate.Request(str(run), None, "test", [str(run)], {}, None, False, 0, "auto")
    with pytest.raises(UserError, match="does not say how the features"):
        next(evaluate.file_blocks(request, bundle, Communicator(), Counter(), Counter()))
