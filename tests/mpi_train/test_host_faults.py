"""A host, a link or a process of a run across hosts goes: the run ends by itself, whole."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mpi_train.checkpoint import last_checkpoint
from reviews.store import Store
from tests.mpi_train.ranks import ROOT
from tests.mpi_train.runs import arguments, losses, records
from tests.ssh_hosts import SshHost, ssh_hosts
from tests.stores import make_store

LIMIT_S = 90  # three times what is promised
HOST_TIMEOUT_S = 4
UPDATES = 5  # of an epoch


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[SshHost]]:
    with ssh_hosts(tmp_path / "hosts", 3) as made:
        yield made


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("host_faults") / "store",
                      {"train": 300, "validation": 20}, length=16)


def start(
    host: SshHost, others: Sequence[SshHost], store: Store, out: Path,
    host_timeout: int | None = HOST_TIMEOUT_S, slots: int = 1, **options: Any,
) -> subprocess.Popen[str]:
    """A run on these hosts with so many ranks each, started on the first."""
    file = out.with_suffix(".hosts")
    file.write_text("".join(f"{one.name} slots={slots}\n" for one in (host, *others)))
    values = {"epochs": 2000, "checkpoint_every": 2, "keep": "last", "balance": "equal", **options}
    command = [sys.executable, "-m", "reviewmill", "train", str(store.path),
               *arguments(store, out, **values)[1:], f"--hostfile={file}",
               *([f"--host-timeout={host_timeout}"] if host_timeout else []), "--resume"]
    return subprocess.Popen(host.command(*command), stdout=subprocess.PIPE, text=True, cwd=ROOT,
                            stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})


def wait_until(holds: Callable[[], object], what: str) -> None:
    limit = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < limit, what
        time.sleep(0.1)


def wait_for_updates(out: Path, number: int) -> None:
    def are_done() -> bool:
        with contextlib.suppress(FileNotFoundError):
            return len(records(out, "step")) >= number
        return False

    wait_until(are_done, f"{number} updates")


def pid_of(host: SshHost, words: str) -> int:
    return min(pid for pid, line in host.processes().items() if words in line)


def cut(hosts: list[SshHost]) -> None:
    hosts[1].connect(False)


def power_off(hosts: list[SshHost]) -> None:
    hosts[1].power_off()


def kill_ssh(hosts: list[SshHost]) -> None:
    os.kill(pid_of(hosts[0], "/ssh -x -o"), signal.SIGKILL)


def kill_rank(hosts: list[SshHost]) -> None:
    os.kill(max(hosts[1].processes()), signal.SIGKILL)


@pytest.mark.parametrize("fault", [
    cut, power_off, pytest.param(kill_ssh, marks=pytest.mark.soak),
    pytest.param(kill_rank, marks=pytest.mark.soak)])
def test_the_run_ends_with_a_line_and_leaves_a_checkpoint_and_no_process(
    fault: Callable[[list[SshHost]], None], hosts: list[SshHost], store: Store, tmp_path: Path
) -> None:
    out, levels = tmp_path / "run", {"slots": 2, "backend": "shm+gloo"}
    run = start(hosts[0], hosts[1:2], store, out, **levels)
    wait_for_updates(out, 5)
    fault(hosts)
    _, errors = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 3, errors
    assert "mill-b" in errors.splitlines()[-1], errors
    assert "--resume goes on from its last checkpoint" in errors.splitlines()[-1], errors
    for host in hosts:
        wait_until(lambda host=host: not host.processes(), f"{host.name}: {host.processes()}")
    checkpoint = last_checkpoint(out)
    assert checkpoint is not None and checkpoint.state.step >= 4

    # With other hosts, it goes on.
    before = losses(out)[: checkpoint.state.step]
    resumed = start(hosts[0], hosts[2:], store, out, max_steps=len(before) + 2, **levels)
    _, errors = resumed.communicate(timeout=LIMIT_S)
    assert resumed.returncode == 0, errors
    assert losses(out)[: len(before)] == before and len(losses(out)) == len(before) + 2


@pytest.mark.soak
def test_without_an_option_a_link_that_is_cut_ends_the_run_in_the_same_way(
    hosts: list[SshHost], store: Store, tmp_path: Path
) -> None:
    """ssh notices it, too, and must not be the first: mpirun would end with its status."""
    run = start(hosts[0], hosts[1:2], store, tmp_path / "run", host_timeout=None)
    wait_for_updates(tmp_path / "run", 5)
    hosts[1].connect(False)
    _, errors = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 3, errors
    assert errors.splitlines()[-1].startswith("mill-b has not answered for 20 s"), errors
    for host in hosts:
        wait_until(lambda host=host: not host.processes(), f"{host.name}: {host.processes()}")


@pytest.mark.soak
def test_ranks_that_are_stopped_for_longer_than_the_limit_go_on(
    hosts: list[SshHost], store: Store, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    run = start(hosts[0], hosts[1:2], store, out, epochs=100)
    wait_for_updates(out, 5)
    stopped = hosts[1].processes()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(HOST_TIMEOUT_S + 3)  # the length of the stop, no waiting for anything
    assert run.poll() is None
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    _, errors = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 0, errors
    assert len(losses(out)) == 100 * UPDATES


@pytest.mark.soak
def test_ctrl_c_ends_a_run_whose_link_is_cut(
    hosts: list[SshHost], store: Store, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    run = start(hosts[0], hosts[1:2], store, out)
    wait_for_updates(out, 5)
    hosts[1].connect(False)
    os.kill(pid_of(hosts[0], "-m reviewmill train"), signal.SIGINT)
    _, errors = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 128 + signal.SIGINT, errors
    for host in hosts:
        wait_until(lambda host=host: not host.processes(), f"{host.name}: {host.processes()}")
    assert last_checkpoint(out) is not None


# Rank 1 hangs in its first update.
HANGS = """
import signal, sys
from mpi4py import MPI
import mpi_train.update
from mpi_train.__main__ import main
if MPI.COMM_WORLD.Get_rank() == 1:
    print("hangs", flush=True)
    mpi_train.update.prefix_cost = lambda *_: signal.sigwait([signal.SIGUSR2])
sys.exit(main(sys.argv[1:]))
"""
LAUNCHES = """
import sys
from cluster.mpirun import launch
sys.exit(launch(2, [sys.executable, *sys.argv[1:]], stop_timeout=2))
"""


def test_sigterm_ends_a_run_that_hangs(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = subprocess.Popen(
        [sys.executable, "-c", LAUNCHES, "-c", HANGS, *arguments(store, out)], text=True, cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)})
    wait_until(lambda: (out / "config.yaml").exists(), "a start")
    run.terminate()
    _, errors = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 128 + signal.SIGTERM
    assert "no rank has begun its last checkpoint 2 s after SIGTERM" in errors
