"""A whole run: hosts reached by ssh are the instances, MPI and training are real."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ssh_hosts import ROOT, SshHost, ssh_hosts
from tests.stores import make_store

LIMIT_S = 280


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[SshHost]]:
    with ssh_hosts(tmp_path / "hosts", 3) as made:
        for host in made[1:]:
            become_node(host, tmp_path / "hosts" / made[1].name / "scratch")
        yield made


def become_node(host: SshHost, of_first: Path) -> None:
    """Work of user data; the last node is taken back once the first has trained for a while."""
    (host.folder / "scratch").mkdir()
    # As on a fresh instance: keys and known hosts are found where ssh looks by itself.
    (host.folder / "ssh" / "ssh_config").write_text("")
    beat = host.folder / "heartbeat"
    metrics = of_first / "run" / "metrics.jsonl"
    notice = (f'[ "$(cat {metrics} 2>/dev/null | wc -l)" -gt 20 ] && echo notice || echo alive'
              if host.name == "mill-c" else "echo alive")
    beat.write_text(f"#!/bin/sh\n{notice}\n")
    beat.chmod(0o755)
    host.set_up("mkdir -p /root/.ssh; mount -t tmpfs tmpfs /root/.ssh")
    host.set_up(f"mkdir /run/mill /run/mill-state; touch /run/mill-state/ready; "
                f"mount --bind {host.folder}/scratch /run/mill; cp {beat} /run/mill-heartbeat")


@pytest.mark.soak
def test_a_run_that_loses_a_node_ends_with_a_checkpoint_and_goes_on_with_those_left(
    hosts: list[SshHost], tmp_path: Path
) -> None:
    store = make_store(tmp_path / "store", {"train": 300, "validation": 20}, length=16)
    done = subprocess.run(
        hosts[0].command(
            sys.executable, "-m", "tests.cluster.gpu.on_hosts", tmp_path, store.path,
            ",".join(host.name for host in hosts[1:]),
            ",".join(host.address for host in hosts[1:])),
        capture_output=True, text=True, cwd=ROOT, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["first"] == 3, done.stdout + done.stderr
    assert re.search(r"AWS takes back i-\w+: the run ended with a checkpoint; reviewmill cluster "
                     r"gpu run .* --resume --cluster gpu-\S+, on the 1 nodes that are left goes on",
                     done.stderr), done.stderr
    assert "2 ranks on 2 nodes found each other by MPI" in done.stderr
    assert found["alive"] == 2 and found["noticed"] == [1]
    assert f"step-{found['steps']:08d}" in found["checkpoints"]
    assert found["second"] == 0, done.stdout + done.stderr
    assert found["all"] == found["steps"] + 5 and found["summary"]
    assert found["left"] == [[], [], []]
    for host in hosts[1:]:
        assert "mpi_train" not in str(host.processes())
