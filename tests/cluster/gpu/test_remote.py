"""Nodes by ssh: keys are checked, folders arrive whole or not at all."""

from pathlib import Path

import pytest

from cluster.gpu.remote import LOST_SSH, Remote
from reviews.errors import EngineError
from tests.cluster.gpu.nodes import node, shell


def test_host_keys_are_checked_against_those_of_the_cluster_and_no_question_is_asked() -> None:
    line = Remote(Path("/state"), "somebody").command(node(), "true")
    assert line[:5] == ["ssh", "-F", "none", "-i", "/state/key"]
    assert line[-2:] == ["somebody@192.0.2.1", "true"]
    options = {word for word in line if "=" in word}
    assert {"StrictHostKeyChecking=yes", "UserKnownHostsFile=/state/known_hosts",
            "GlobalKnownHostsFile=/dev/null", "BatchMode=yes", "IdentitiesOnly=yes"} <= options


def test_a_folder_goes_there_and_comes_back(tmp_path: Path) -> None:
    remote = shell(tmp_path / "node", "")
    (tmp_path / "here" / "deep").mkdir(parents=True)
    (tmp_path / "here" / "deep" / "file").write_bytes(bytes(range(256)) * 999)
    remote.put(node(), tmp_path / "here", f"{tmp_path}/it's there", 60)
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "old").touch()
    remote.fetch(node(), f"{tmp_path}/it's there", tmp_path / "back", 60)
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["deep"]
    assert (tmp_path / "back" / "deep" / "file").read_bytes() == bytes(range(256)) * 999
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "back", "here", "it's there", "node"]


def test_a_folder_that_does_not_come_leaves_the_one_that_is_here(tmp_path: Path) -> None:
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "old").touch()
    with pytest.raises(EngineError, match=r"i-1: /nowhere was not fetched: .*No such file"):
        shell(tmp_path / "node", "").fetch(node(), "/nowhere", tmp_path / "back", 60)
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["old"]
    with pytest.raises(EngineError, match="was not copied"):
        shell(tmp_path / "other", "").put(node(), tmp_path / "back", "/proc/nowhere", 60)


def test_what_takes_too_long_is_a_lost_connection(tmp_path: Path) -> None:
    done = shell(tmp_path / "node", "").call(node(), "sleep 60", 0.05)
    assert done.returncode == LOST_SSH
    with pytest.raises(EngineError, match=r"i-1 .192.0.2.1.: no answer for 0 s"):
        shell(tmp_path / "other", "").need(node(), "sleep 60", 0.05)
