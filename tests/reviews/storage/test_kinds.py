"""One kind of folder in place of another: a line that says which it is."""

from pathlib import Path

import pytest

import reviewmill
from reviews.errors import UserError
from reviews.storage.files import find_files
from reviews.storage.kinds import folder_kind, instead
from reviews.store import Store
from tests.reports.runs import make_run
from tests.scoring.bundles import make_bundle
from tests.stores import make_store


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "file.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    return {"store": make_store(tmp_path / "store", {"train": 20}, length=4).path,
            "bundle": make_bundle(tmp_path / "bundle", "bag")[0],
            "run": make_run(tmp_path / "run", epochs=1), "file": tmp_path / "file.json",
            "empty": tmp_path / "empty", "nothing": tmp_path / "nothing"}


def test_every_kind_is_told_from_the_others(folders: dict[str, Path]) -> None:
    assert {name: folder_kind(path) for name, path in folders.items()} == {
        "store": "a store", "bundle": "the bundle of a model", "run": "a run", "file": None,
        "empty": None, "nothing": None}
    assert instead(folders["file"]) == "; it is a file"
    assert instead(folders["nothing"]) == "; there is no such file or folder"
    assert instead(folders["empty"]) == instead("s3://bucket/run") == ""


@pytest.mark.parametrize(("name", "end"), [
    ("run", "; it is a run"), ("bundle", "; it is the bundle of a model"),
    ("file", "it has no manifest.json; it is a file"), ("nothing", "; there is no such file"),
    ("empty", "it has no manifest.json")])
def test_a_store_is_wanted(folders: dict[str, Path], name: str, end: str) -> None:
    with pytest.raises(UserError, match=f"{folders[name]} is not a store.*{end}"):
        Store(folders[name])


@pytest.mark.parametrize("command", ["evaluate --input x.json", "score x.json --out p.parquet",
                                     "serve", "export", "watch"])
def test_a_run_is_wanted_and_a_store_is_given(
    folders: dict[str, Path], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *rest = command.split()
    assert reviewmill.main([name, str(folders["store"]), *rest]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("; it is a store")


@pytest.mark.parametrize("name", ["store", "bundle", "run"])
def test_files_of_reviews_are_wanted(folders: dict[str, Path], name: str) -> None:
    with pytest.raises(UserError, match=f"is {folder_kind(folders[name])}: give files of reviews"):
        find_files([str(folders[name])])


@pytest.mark.parametrize("name", ["metrics.jsonl", "compare.json", "tune.json"])
def test_a_file_of_the_users_with_such_a_name_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    assert folder_kind(tmp_path) is None
    assert find_files([str(tmp_path)]) == [str(tmp_path / name)]


def test_manifests_of_others_are_no_kind(tmp_path: Path) -> None:
    for text in ("[]", "{", '{"format": "reviews/1"}', "\xff"):
        (tmp_path / "manifest.json").write_text(text, "latin-1")
        assert folder_kind(tmp_path) is None
