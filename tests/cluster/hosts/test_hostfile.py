"""Host files: what mpirun has of a line, and what is ours."""

import socket
from pathlib import Path

import pytest

from cluster.hosts.hostfile import Host, mpirun_lines, read_hostfile
from reviews.errors import UserError


def read(folder: Path, text: str) -> list[Host]:
    file = folder / "hosts"
    file.write_text(text)
    return read_hostfile(str(file))


def test_each_line_is_a_host_and_mpirun_does_not_see_its_python(tmp_path: Path) -> None:
    hosts = read(tmp_path, "# GPUs\ngpu01 slots=4 python=/opt/mill/bin/python\n\n"
                           "me@gpu02:2 # old\n10.0.0.3 max_slots=8\n")
    assert hosts == [Host("gpu01", ("slots=4",), "/opt/mill/bin/python"),
                     Host("me@gpu02", ("slots=2",)), Host("10.0.0.3", ("max_slots=8",))]
    assert [host.slots for host in hosts] == [4, 2, None]
    assert mpirun_lines(hosts) == "gpu01 slots=4\nme@gpu02 slots=2\n10.0.0.3 max_slots=8\n"


@pytest.mark.parametrize("data", [
    b"one slots=2\r\ntwo\r\n", b"\xef\xbb\xbfone slots=2\ntwo\n", b"one slots=2\rtwo\r"])
def test_a_host_file_of_windows_is_read_as_one(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_bytes(data)
    assert mpirun_lines(read_hostfile(str(file))) == "one slots=2\ntwo\n"


def test_a_file_without_hosts_or_with_one_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no hosts: give a line for each"):
        read(tmp_path, "# nobody\n")
    with pytest.raises(UserError, match="has gpu01 twice"):
        read(tmp_path, "gpu01\ngpu02\ngpu01 slots=2\n")
    with pytest.raises(UserError, match="no host file"):
        read_hostfile(str(tmp_path / "nothing"))


@pytest.mark.parametrize(("name", "local"), [
    ("localhost", True), ("127.0.0.1", True), (socket.gethostname(), True), ("192.0.2.7", False)])
def test_a_host_knows_whether_it_is_this_one(name: str, local: bool) -> None:
    assert Host(name).is_local is local
    assert Host(f"me@{name}").is_local is local
