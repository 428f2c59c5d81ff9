"""`reviewmill cluster check`: a table of the hosts, and one of the links between them."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ssh_hosts import ROOT, SshHost, ssh_hosts


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[SshHost]]:
    with ssh_hosts(tmp_path / "hosts", 3) as made:
        yield made


def check(hosts: list[SshHost], lines: str) -> subprocess.CompletedProcess[str]:
    file = hosts[0].folder / "hostfile"
    file.write_text(lines)
    return subprocess.run(
        hosts[0].command(sys.executable, "-m", "reviewmill", "cluster", "check", "--hostfile",
                         file), capture_output=True, text=True, cwd=ROOT, timeout=120)


def test_three_hosts_of_which_one_has_a_slow_link(hosts: list[SshHost]) -> None:
    hosts[2].network("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "80mbit",
                     "burst", "32kbit", "latency", "50ms")
    done = check(hosts, "mill-a slots=1\nmill-b slots=1\nmill-c slots=1\n")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line}
    assert re.match(r"host\s+cores\s+GPUs\s+memory free\s+disk free\s+/dev/shm free\s+clock$",
                    rows["host"])
    links = [list(map(int, re.findall(r"([\d,]+) MB/s", rows[host.name].replace(",", ""))))
             for host in hosts]
    assert [len(row) for row in links] == [2, 2, 2], done.stdout
    # 80 Mb/s are 10 MB/s; the slow cable limits what its host sends.
    assert max(links[2]) <= 30 < min(links[0][0], links[1][0]), done.stdout


def test_problems_are_listed_and_are_the_status(hosts: list[SshHost]) -> None:
    done = check(hosts, "mill-a slots=1\nmill-x\nmill-y\n")
    assert done.returncode == 1
    told = [line.split(":")[0] for line in done.stdout.splitlines() if "does not resolve" in line]
    assert told == ["mill-x", "mill-y"]
