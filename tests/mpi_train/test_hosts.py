"""`reviewmill train --hostfile`: hosts of their own train as one process does."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from reviews.store import Store
from tests.mpi_train.runs import arguments, losses, train
from tests.ssh_hosts import ROOT, SshHost, elsewhere, ssh_hosts
from tests.stores import make_store

LIMIT_S = 240


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[SshHost]]:
    with ssh_hosts(tmp_path / "hosts", 2) as made:
        yield made


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("hosts") / "store",
                      {"train": 300, "validation": 60}, length=16)


@pytest.fixture(scope="module")
def alone(store: Store, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """Losses of one process."""
    return losses(train(store, tmp_path_factory.mktemp("alone") / "run", epochs=1))


# mpirun's own, now and then: the ssh it started was quicker than its next system call.
RACE = re.compile(r"\[\S+\] plm:ssh: Warning: setpgid\(\d+,\d+\) failed in parent .*\n")


def train_on(
    hosts: Sequence[SshHost], store: Store, out: Path, lines: str, **options: Any
) -> subprocess.CompletedProcess[str]:
    """A run that the first host starts."""
    file = out.with_suffix(".hosts")
    file.write_text(lines)
    command = [sys.executable, "-m", "reviewmill", "train", str(store.path),
               *arguments(store, out, **options)[1:], f"--hostfile={file}"]
    return subprocess.run(hosts[0].command(*command), capture_output=True, text=True, cwd=ROOT,
                          timeout=LIMIT_S, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_two_hosts_of_which_one_has_the_package_at_another_path(
    hosts: list[SshHost], store: Store, alone: list[float], tmp_path: Path
) -> None:
    python = elsewhere(hosts[1])
    ended = train_on(hosts, store, tmp_path / "run", epochs=1,
                     lines=f"mill-a slots=1\nmill-b slots=1 python={python}\n")
    assert ended.returncode == 0, ended.stderr
    assert losses(tmp_path / "run") == pytest.approx(alone, rel=1e-4)
    assert "2 ranks (gloo)" in ended.stdout
    assert RACE.sub("", ended.stderr) == ""


@pytest.mark.parametrize("backend", ["gloo", pytest.param("mpi", marks=pytest.mark.soak)])
def test_two_ranks_on_each_of_two_hosts_behind_a_slow_link(
    backend: str, hosts: list[SshHost], store: Store, alone: list[float], tmp_path: Path
) -> None:
    for host in hosts:
        host.network("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "20mbit",
                     "burst", "32kbit", "latency", "50ms")
    ended = train_on(hosts, store, tmp_path / "run", epochs=1, backend=backend,
                     lines="mill-a slots=2\nmill-b slots=2\n")
    assert ended.returncode == 0, ended.stderr
    assert losses(tmp_path / "run") == pytest.approx(alone, rel=1e-4)


def test_a_fault_of_a_host_is_one_line_and_no_run_folder(
    hosts: list[SshHost], store: Store, tmp_path: Path
) -> None:
    ended = train_on(hosts, store, tmp_path / "run", lines="mill-a\nmill-x\n")
    assert ended.returncode == 2
    assert ended.stderr.startswith("reviewmill train: mill-x: its name does not resolve")
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()
