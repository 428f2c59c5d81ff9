"""`reviewmill train --hostfile`: hosts of their own train as one process does."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from mpi_train.__main__ import main
from reviews.store import Store
from tests.mpi_train.runs import arguments, losses, program_of, train
from tests.ssh_hosts import ROOT, SshHost, elsewhere, shape, ssh_hosts
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


def summary(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text())


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
    assert re.search(r"2 ranks \((gloo|mpi)\)", ended.stdout)
    assert RACE.sub("", ended.stderr) == ""


LAUNCHES = """
import sys
from cluster.mpirun import launch
sys.exit(launch(None, [sys.executable, *sys.argv[2:]], sys.argv[1]))
"""
MEASURED = re.compile(r"a sum of \S+ MB over all ranks took \S+ ms by gloo, \S+ ms by shm\+gloo, "
                      r"\S+ ms by mpi: --backend auto is (\S+) from now on")


def test_two_ranks_on_each_of_two_hosts_behind_a_slow_link(
    hosts: list[SshHost], store: Store, alone: list[float], tmp_path: Path
) -> None:
    for host in hosts:
        shape(host, "20mbit")
    kinds: dict[str, dict[str, Any]] = {
        "auto": {}, **{name: {"backend": name} for name in ("gloo", "shm+gloo", "mpi")},
        "rounded": {"backend": "shm+gloo", "exchange": "bf16"},
        "bag": {"backend": "shm+gloo", "model": "bag"}}
    (tmp_path / "hosts.txt").write_text("mill-a slots=2\nmill-b slots=2\n")
    runs = [arguments(store, tmp_path / name, epochs=1, **more) for name, more in kinds.items()]
    ended = subprocess.run(
        hosts[0].command(sys.executable, "-c", LAUNCHES, tmp_path / "hosts.txt",
                         *program_of(runs)),
        capture_output=True, text=True, cwd=ROOT, timeout=LIMIT_S,
        env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert ended.returncode == 0, ended.stderr
    for name in ("auto", "gloo", "shm+gloo", "mpi"):
        assert losses(tmp_path / name) == pytest.approx(alone, rel=1e-4)
    assert losses(tmp_path / "rounded") == pytest.approx(alone, rel=1e-2)
    bag = train(store, tmp_path / "bag alone", epochs=1, model="bag")
    assert losses(tmp_path / "bag") == pytest.approx(losses(bag), rel=1e-4)
    assert "4 ranks (shm+gloo), " in (tmp_path / "shm+gloo" / "log.txt").read_text()

    # What was measured for a second is told, and kept.
    [told] = MEASURED.findall(ended.stdout)
    kept = yaml.safe_load((tmp_path / "auto" / "config.yaml").read_text())["backend"]
    assert kept == told and summary(tmp_path / "auto")["backend"] == kept
    assert main(["--out", str(tmp_path / "auto"), "--resume", "--epochs", "2"]) == 0
    assert summary(tmp_path / "auto")["backend"] == kept


def test_a_fault_of_a_host_is_one_line_and_no_run_folder(
    hosts: list[SshHost], store: Store, tmp_path: Path
) -> None:
    ended = train_on(hosts, store, tmp_path / "run", lines="mill-a\nmill-x\n")
    assert ended.returncode == 2
    assert ended.stderr.startswith("reviewmill train: mill-x: its name does not resolve")
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()
