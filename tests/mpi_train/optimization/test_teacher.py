"""A student learns a teacher's logits, the same on any ranks and after a resume."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from models.nets.load_model import load_model
from models.nets.predict import logits_of
from mpi_train.__main__ import main
from mpi_train.data import BatchReader, SplitReader
from reviews.bundle import read_bundle
from reviews.errors import UserError
from reviews.store import Store
from tests.mpi_train.runs import arguments, difference, losses, train, train_on_ranks
from tests.stores import make_store

STUDENT = {"model": "cnn", "filters": 5, "dropout": 0.0, "keep": "last", "precision": "fp64",
           "schedule": "constant", "teacher_weight": 0.4, "teacher_temperature": 3.0}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("teacher") / "store",
                      {"train": 2500, "validation": 40}, length=16, shards=2)


@pytest.fixture(scope="module")
def teacher(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(store, tmp_path_factory.mktemp("teachers") / "run", model="bag", buckets=500,
                 ngrams=2, epochs=1)


def read_logits(run: Path) -> np.ndarray:
    return np.load(run / "teacher.npy")


def test_the_loss_of_an_update_is_the_formulas(
    store: Store, teacher: Path, tmp_path: Path
) -> None:
    run = train(store, tmp_path / "run", teacher=teacher, max_steps=1, learning_rate=1e-300,
                oversample="1,2", **STUDENT)
    model, its = load_model(read_bundle(run)), load_model(read_bundle(teacher))
    rows = SplitReader(store, "train").read([(0, 0), (0, 1024), (1, 0), (1, 1024)])
    logits = logits_of(its, rows, torch.device("cpu"), 4096)
    np.testing.assert_allclose(read_logits(run), logits, rtol=1e-5, atol=1e-6)
    batch = BatchReader(store, "train", 64, 0, 64, (1, 2),
                        teacher=read_logits(run)).batch(0, 0)
    found = batch.take(0, 64)
    # Each review has the logit of its own text.
    wanted = logits_of(its, found, torch.device("cpu"), 4096)
    np.testing.assert_allclose(found.teacher, wanted, rtol=1e-5, atol=1e-6)
    own = torch.from_numpy(logits_of(model, found, torch.device("cpu"), 4096))
    labels = torch.from_numpy(found.labels).double()
    loss = 0.6 * functional.binary_cross_entropy_with_logits(own, labels)
    loss += 0.4 * 9 * functional.binary_cross_entropy_with_logits(
        own / 3, torch.from_numpy(wanted / 3).sigmoid())
    assert losses(run) == pytest.approx([loss.item()], rel=1e-6)


def test_two_unequal_ranks_and_a_resume_without_the_teacher_learn_the_same(
    store: Store, teacher: Path, tmp_path: Path
) -> None:
    its = tmp_path / "teacher"
    shutil.copytree(teacher, its)
    options = {"teacher": its, **STUDENT}
    train(store, tmp_path / "one", max_steps=6, **options)
    train_on_ranks(2, [arguments(store, tmp_path / "two", shares="3,1", max_steps=6, **options)])
    train(store, tmp_path / "cut", max_steps=3, **options)
    shutil.rmtree(its)
    assert main(["--out", str(tmp_path / "cut"), "--resume", "--max-steps", "6"]) == 0
    one, two, cut = (read_bundle(tmp_path / name).weights for name in ("one", "two", "cut"))
    assert np.array_equal(read_logits(tmp_path / "one"), read_logits(tmp_path / "two"))
    assert difference(one, two) < 1e-10
    assert difference(one, cut) == 0
    plain = {name: value for name, value in STUDENT.items()
             if name not in ("teacher_weight", "teacher_temperature")}
    alone = read_bundle(train(store, tmp_path / "alone", max_steps=6, **plain)).weights
    assert difference(one, alone) > 1e-4


def test_a_teacher_that_does_not_fit_is_one_line(teacher: Path, tmp_path: Path) -> None:
    other = make_store(tmp_path / "other", {"train": 60, "validation": 20}, vocabulary=50)
    for path, message in ((teacher, "another vocabulary"), (tmp_path, "neither a run")):
        with pytest.raises(UserError, match=rf"--teacher {path}: .*{message}") as refused:
            train(other, tmp_path / "run", teacher=path)
        assert "\n" not in str(refused.value)
        assert not (tmp_path / "run" / "config.yaml").exists()
