"""Records of clusters: there after a crash, for their user alone."""

from pathlib import Path

import pytest

from cluster.gpu.state import Call, load_record, records, state_folder
from reviews.errors import UserError
from tests.cluster.gpu.nodes import record


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REVIEWMILL_STATE", str(tmp_path))
    return tmp_path / "gpu"


def test_a_record_is_the_same_again_and_private(folder: Path) -> None:
    made = record(99.0)
    made.calls = [Call("t-0", "g5.xlarge", "spot", 2, ["i-1", "i-2"]),
                  Call("t-1", "g6.xlarge", "spot", 1)]
    made.noticed = ["i-2"]
    made.save()
    assert load_record("gpu-x") == made and list(records()) == [made]
    assert made.known == ["i-1", "i-2"]
    assert (folder / "gpu-x").stat().st_mode & 0o077 == 0
    made.remove()
    assert load_record("gpu-x") is None and list(records()) == []


def test_a_damaged_record_says_how_to_end_its_cluster(folder: Path) -> None:
    record(0.0)
    (folder / "gpu-x" / "cluster.json").write_text('{"id": ')
    with pytest.raises(UserError, match=r"is damaged .*down gpu-x --region REGION"):
        load_record("gpu-x")


def test_records_lie_below_the_home_unless_they_are_to_lie_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("REVIEWMILL_STATE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert state_folder() == tmp_path / "home" / ".local" / "state" / "reviewmill" / "gpu"
