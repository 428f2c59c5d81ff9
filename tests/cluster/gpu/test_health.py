"""Health of nodes: set up in time, every GPU multiplies, all ranks find each other."""

import json
from pathlib import Path

import pytest

from cluster.gpu.health import check_devices, check_hello, introduce, wait_until_set_up
from reviews.errors import EngineError
from tests.cluster.gpu.nodes import node, program, shell

RIGHT = {"device": "cuda:0", "name": "T4", "right": True, "teraflops": 4.0}


def test_a_node_is_waited_for_with_heartbeats_until_its_user_data_has_ended(tmp_path: Path) -> None:
    remote = shell(tmp_path / "node", "", f"echo >>{tmp_path}/beats; [ $(wc -l <{tmp_path}/beats) "
                   f"-lt 3 ] || touch {tmp_path}/node/state/ready")
    wait_until_set_up(remote, [node()], limit_s=20, poll_s=0.01)
    assert (tmp_path / "beats").read_text() == "\n\n\n"


def test_a_node_whose_user_data_failed_says_why(tmp_path: Path) -> None:
    remote = shell(tmp_path / "node", "")
    (tmp_path / "node" / "state" / "failed").write_text("the driver sees 3 GPUs of 4\n")
    with pytest.raises(EngineError, match=r"i-1 .c6i.xlarge. could not be set up: the driver sees"):
        wait_until_set_up(remote, [node()], limit_s=20, poll_s=0.01)


def test_a_node_that_is_not_set_up_in_time_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"i-2 .c6i.xlarge. is not set up after 0 minutes"):
        wait_until_set_up(shell(tmp_path / "node", ""), [node(2)], limit_s=0.05, poll_s=0.01)


def test_another_host_key_is_an_error_at_once(tmp_path: Path) -> None:
    remote = shell(tmp_path / "node", "", "echo Host key verification failed. >&2; exit 255")
    with pytest.raises(EngineError, match=r"192.0.2.1 has another host key than the console of"):
        wait_until_set_up(remote, [node()], limit_s=20, poll_s=0.01)


@pytest.mark.parametrize(("found", "message"), [
    ([RIGHT], "torch finds 1 GPUs of 2"), ([{**RIGHT, "device": "cpu"}], "finds 0 GPUs of 2")])
def test_a_missing_gpu_is_named(found: object, message: str, tmp_path: Path) -> None:
    remote = shell(tmp_path / "node", f"echo '{json.dumps(found)}'")
    with pytest.raises(EngineError, match=message):
        check_devices(remote, [node(gpus=2)])
    check_devices(shell(tmp_path / "other", f"echo '{json.dumps([RIGHT, RIGHT])}'"), [node(gpus=2)])


def test_a_product_that_is_wrong_is_an_error(tmp_path: Path) -> None:
    remote = shell(tmp_path / "node", "echo '[]'; echo a GPU multiplies wrongly >&2; exit 1")
    with pytest.raises(EngineError, match=r"i-1 .192.0.2.1.: a GPU multiplies wrongly"):
        check_devices(remote, [node(gpus=1)])


@pytest.mark.parametrize("ranks", [1, 3])
def test_ranks_that_do_not_find_each_other_are_an_error(ranks: int, tmp_path: Path) -> None:
    answer = {"ranks": ranks, "hosts": ["a"], "sum": ranks * (ranks - 1) // 2}
    remote = shell(tmp_path / "node", f"echo '{json.dumps(answer)}'")
    with pytest.raises(EngineError, match=f"{ranks} ranks of 2 found each other"):
        check_hello(remote, [node(1), node(2)])


def test_nodes_get_the_cluster_s_own_key_for_their_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    remote = shell(tmp_path / "node", "")
    for name in ("key", "known_hosts"):
        program(tmp_path / "node" / name, name)
    introduce(remote, [node(1), node(2, gpus=4)])
    key = tmp_path / "home" / ".ssh" / "id_ed25519"
    assert key.read_text().endswith("key\n") and key.stat().st_mode & 0o077 == 0
    assert (tmp_path / "node" / "scratch" / "hosts").read_text() == (
        "10.0.0.1 slots=1\n10.0.0.2 slots=4\n")
