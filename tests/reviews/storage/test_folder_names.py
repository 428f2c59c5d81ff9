"""Names in manifests, and folders that are replaced."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reviews.errors import UserError
from reviews.storage import folders
from reviews.storage.folders import check_plain, replace_folder, write_atomically

PARTS = st.one_of(st.sampled_from(["", ".", "..", "a", "b.h5", "~", "C:", "..."]), st.text())


@given(st.lists(PARTS, min_size=1).map("/".join))
def test_a_name_that_is_let_through_stays_below_its_folder(name: str) -> None:
    try:
        assert check_plain(name, "manifest.json") == name
    except UserError:
        return
    found = os.path.normpath(os.path.join("/store", name))
    assert found.startswith("/store/") and found != "/store"


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a\\..\\b", "."])
def test_a_name_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"manifest\.json names the file .* not below its folder"):
        check_plain(name, "manifest.json")


@pytest.mark.parametrize("swaps", [True, False])
def test_a_folder_takes_the_place_of_another(
    swaps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not swaps:
        monkeypatch.setattr(folders, "_swap", lambda one, other: False)
    for text in ("first", "second"):
        new = tmp_path / "new"
        new.mkdir()
        (new / "file").write_text(text)
        replace_folder(new, tmp_path / "model")
        assert (tmp_path / "model" / "file").read_text() == text
        assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_at_every_moment_one_of_the_two_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("model", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    seen = []
    # The names are swapped in one step, and only then is the earlier folder removed.
    monkeypatch.setattr(Path, "rename", lambda *_: pytest.fail("two renames"))
    monkeypatch.setattr(folders.shutil, "rmtree", lambda path, **_: seen.append(
        [(tmp_path / name / "file").read_text() for name in ("model", "new")] + [path.name]))
    replace_folder(tmp_path / "new", tmp_path / "model")
    assert seen == [["new", "model", "new"]]


def test_a_file_that_cannot_be_written_is_named_and_not_a_temporary_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        write_atomically(tmp_path / "none" / "file", b"")
    assert error.value.filename == str(tmp_path / "none" / "file")
