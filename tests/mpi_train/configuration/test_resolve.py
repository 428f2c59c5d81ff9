"""A start is refused in one line before anything is made, where its run folder cannot be."""

import os
from pathlib import Path

import pytest

from mpi_train.configuration.resolve import resolve
from reviews.errors import UserError
from reviews.store import Store
from tests.stores import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("resolve") / "store", {"train": 9, "validation": 9})


@pytest.mark.parametrize("out, words", [
    ("file", "is not a folder"),
    ("file/run", "is not a folder"),
    ("n" * 300, "name too long"),
])
@pytest.mark.parametrize("resume", [False, True])
def test_a_run_folder_that_cannot_be_is_refused(
    out: str, words: str, resume: bool, store: Store, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(UserError, match=f"(?i)--out is .*{words}"):
        resolve({"store": str(store.path), "out": out, "resume": resume})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_so_is_one_below_a_folder_that_cannot_be_written(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may write to all
    with pytest.raises(UserError, match=f"nothing can be written to {tmp_path}"):
        resolve({"store": str(store.path), "out": str(tmp_path / "a" / "run")})
    assert list(tmp_path.iterdir()) == []
