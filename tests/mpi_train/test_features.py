"""Models that read what a store has beside the text."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from imblearn.over_sampling import SMOTE
from torch import nn

from mpi_train import evaluate
from mpi_train.__main__ import main
from mpi_train.data import BatchReader, SplitReader
from mpi_train.models import build
from mpi_train.models.options import ModelOptions
from mpi_train.resolve import resolve
from mpi_train.smote import synthetic_rows
from reviews.bundle import read_bundle
from reviews.errors import UserError
from reviews.store import Store
from tests.mpi_train.runs import difference, losses, records
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
    options = ModelOptions(model="mlp", embedding_dim=0, dropout=0.3, word_dropout=0.0, padding=0,
                           vocabulary_size=50, unknown=1, hidden_dim=5, layers=2, features=3)
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
    ({"embedding_dim": 8}, "--embedding-dim is about word vectors, and --model mlp has none"),
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
    with pytest.raises(UserError, match="reads features beside the text"):
        evaluate.main([str(run), "--input", str(tmp_path / "reviews.json")])
