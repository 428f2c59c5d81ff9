"""Each fault of a host is found before a run starts, in a line that names the host."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.requirements import need
from tests.ssh_hosts import ROOT, SshHost, ssh_hosts

CHECKS = """
import sys
from cluster.hosts.hostfile import read_hostfile
from cluster.hosts.probes import check_hosts
from reviews.errors import UserError
try:
    routes = check_hosts(read_hostfile(sys.argv[1]), "/tmp", *sys.argv[2:])
    print(*routes.own, *routes.networks)
except UserError as error:
    print(error)
"""


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[SshHost]]:
    with ssh_hosts(tmp_path / "hosts", 2) as made:
        yield made


def check(hosts: list[SshHost], lines: str = "", *interface: str) -> str:
    """Output of the first host about all of them."""
    file = hosts[0].folder / "hostfile"
    file.write_text(lines or "".join(f"{host.name} slots=2\n" for host in hosts))
    done = subprocess.run(hosts[0].command(sys.executable, "-c", CHECKS, file, *interface),
                          capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_hosts_without_a_fault_have_one_network_by_which_they_reach_each_other(
    hosts: list[SshHost]
) -> None:
    """Each has two interfaces, and that of the same address on both leads nowhere."""
    routes = f"{hosts[0].address} {hosts[0].address.rpartition('.')[0]}.0/24"
    assert check(hosts) == routes
    assert check(hosts, "", "eth0") == routes
    assert "reaches it by ssh alone, or not at all (172.17.0.1)" in check(hosts, "", "docker0")


def test_a_name_that_does_not_resolve(hosts: list[SshHost]) -> None:
    said = check(hosts, "mill-a\nmill-x slots=2\n")
    assert said.startswith("mill-x: its name does not resolve: correct it in the host file")


def test_a_host_key_that_is_another_one_or_unknown(hosts: list[SshHost]) -> None:
    known = hosts[0].folder / "ssh" / "known_hosts"
    lines = known.read_text().splitlines()
    key = lines[0].split()[2]
    known.write_text(re.sub(r"(mill-b\S* \S+ )\S+", rf"\g<1>{key}", known.read_text()))
    assert check(hosts).startswith("mill-b: its host key is not the one in known_hosts: if the "
                                   "host was installed anew, run `ssh-keygen -R mill-b`")
    known.write_text(lines[0] + "\n")
    assert check(hosts) == "mill-b: its host key is not in known_hosts: ssh there once by hand"


def test_a_key_that_is_refused_and_a_host_without_sshd(hosts: list[SshHost]) -> None:
    authorized = hosts[1].folder / "ssh" / "key.pub"
    authorized.write_text("")
    assert check(hosts).startswith("mill-b: ssh is refused there: put your public key into")
    hosts[1].set_up("kill $(cat /run/sshd.pid)")
    assert check(hosts) == "mill-b: nothing answers ssh there: start its sshd"


def test_a_python_that_is_missing_and_one_without_the_package(hosts: list[SshHost]) -> None:
    said = check(hosts, "mill-a\nmill-b python=/opt/none/bin/python\n")
    assert said == ("mill-b: there is no /opt/none/bin/python: install the same environment at "
                    "this path, or name its Python in the host file: mill-b python=PATH")
    base = sys._base_executable  # type: ignore[attr-defined]
    need(base != sys.executable, "needs an environment of its own")
    said = check(hosts, f"mill-a\nmill-b python={base}\n")
    assert said.startswith(f"mill-b: {base} has no reviewmill, or an older one: install version")


def test_another_version(hosts: list[SshHost], tmp_path: Path) -> None:
    (metadata,) = Path(sys.prefix).glob("lib/python*/site-packages/numpy-*.dist-info/METADATA")
    older = tmp_path / "METADATA"
    older.write_text(re.sub(r"(?m)^Version: .*", "Version: 1.0", metadata.read_text()))
    hosts[1].set_up(f"mount --bind {older} {metadata}")
    assert re.fullmatch(r"mill-b: numpy is 1\.0 there and \S+ on mill-a: all hosts need the same",
                        check(hosts))


def test_a_full_dev_shm(hosts: list[SshHost]) -> None:
    hosts[1].set_up("head -c 250M /dev/zero > /dev/shm/left")
    assert re.fullmatch(r"mill-b: /dev/shm has 6 MB free, and MPI needs 34 MB for 2 ranks: remove "
                        r"what is left there", check(hosts))


def test_ports_that_a_firewall_closes(hosts: list[SshHost]) -> None:
    need(shutil.which("nft") is not None, "needs nftables")
    hosts[1].network("nft", "add table inet wall; add chain inet wall in { type filter hook input "
                     "priority 0; }; add rule inet wall in tcp dport 1024-65535 ct state new drop")
    assert re.fullmatch(
        rf"mill-b: mill-a reaches it by ssh alone, or not at all \(.*{hosts[1].address}.*\): open "
        r"the ports 1024 to 65535 between the hosts", check(hosts))


def test_a_clock_that_is_off(hosts: list[SshHost], tmp_path: Path) -> None:
    need(shutil.which("faketime") is not None, "needs faketime")
    late = tmp_path / "python"
    late.write_text("#!/bin/sh\n[ \"$(hostname)\" = mill-b ] && exec faketime -f -1h "
                    f"{sys.executable} \"$@\"\nexec {sys.executable} \"$@\"\n")
    late.chmod(0o755)
    assert re.match(r"mill-b: its clock differs by -3[56]\d\d s from that of mill-a: set it by NTP",
                        check(hosts, f"mill-a slots=2\nmill-b slots=2 python={late}\n"))
