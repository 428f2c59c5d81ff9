"""Kernels are compiled for a user who can write neither to the package nor to a home."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from reviews.runtime import kernel_cache
from reviews.runtime.kernel_cache import ensure_kernel_cache


@pytest.fixture(autouse=True)
def nowhere_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder, the only one that can be written to (root could write to all)."""
    top = tmp_path / "tmp"
    top.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(top))
    monkeypatch.setattr(kernel_cache, "_can_write", lambda folder: top in folder.parents)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    return top


def test_all_processes_of_a_user_share_a_folder_of_his_own(nowhere_to_write: Path) -> None:
    ensure_kernel_cache()
    first = Path(os.environ.pop("NUMBA_CACHE_DIR"))
    ensure_kernel_cache()
    assert Path(os.environ["NUMBA_CACHE_DIR"]) == first
    assert first.parent == nowhere_to_write
    assert stat.S_IMODE(first.stat().st_mode) == 0o700


@pytest.mark.parametrize("kind", ["link", "open to all"])
def test_a_folder_that_others_could_write_to_is_not_taken(
    kind: str, nowhere_to_write: Path, tmp_path: Path
) -> None:
    taken = nowhere_to_write / f"reviewmill-kernels-{os.getuid()}"
    if kind == "link":
        (tmp_path / "elsewhere").mkdir()
        taken.symlink_to(tmp_path / "elsewhere")
    else:
        taken.mkdir()
        taken.chmod(0o777)
    ensure_kernel_cache()
    found = Path(os.environ["NUMBA_CACHE_DIR"])
    assert found != taken
    assert found.parent == nowhere_to_write


def test_a_home_that_can_be_written_to_is_numbas_affair(
    nowhere_to_write: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(nowhere_to_write / "home"))
    ensure_kernel_cache()
    assert "NUMBA_CACHE_DIR" not in os.environ


def test_what_the_user_named_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/named")
    ensure_kernel_cache()
    assert os.environ["NUMBA_CACHE_DIR"] == "/named"
