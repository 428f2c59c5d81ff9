"""Addresses between hosts whose names nobody knows, and that have others in common."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.mpirun import mpirun_command
from mpi_train.exchange.addresses import _choose, _Offer, find_interfaces, interface_to
from reviews.runtime.network import Interface, interfaces
from reviews.store import Store
from tests.mpi_train.ranks import ROOT
from tests.mpi_train.runs import arguments, losses, train
from tests.network_hosts import NetworkHost, network_hosts
from tests.stores import make_store

LIMIT_S = 240


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[NetworkHost]]:
    with network_hosts() as made:
        yield made


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("addresses") / "store",
                      {"train": 300, "validation": 60}, length=16)


def run_on(hosts: list[NetworkHost], store: Store, out: Path, **options: str) -> list[
        subprocess.CompletedProcess[str]]:
    """One rank on each host, as torchrun starts them, with the first one's address."""
    line = [sys.executable, "-m", "mpi_train", *arguments(store, out, backend="gloo", **options)]
    ranks = []
    for rank, host in enumerate(hosts):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "RANK": str(rank),
                       "WORLD_SIZE": "2", "MASTER_ADDR": hosts[0].address,
                       "MASTER_PORT": "29411", "TORCHELASTIC_RUN_ID": "hosts"}
        ranks.append(subprocess.Popen(host.command(*line), env=environment, text=True, cwd=ROOT,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    try:
        told = [rank.communicate(timeout=LIMIT_S) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    return [subprocess.CompletedProcess(line, rank.returncode, *said)
            for rank, said in zip(ranks, told, strict=True)]


def test_hosts_find_the_interface_between_them(
    hosts: list[NetworkHost], store: Store, tmp_path: Path
) -> None:
    alone = train(store, tmp_path / "alone", backend="gloo")
    ended = run_on(hosts, store, tmp_path / "both")
    assert [rank.returncode for rank in ended] == [0, 0], [rank.stderr for rank in ended]
    assert losses(tmp_path / "both") == pytest.approx(losses(alone), rel=1e-4)


def test_an_interface_by_which_they_do_not_meet_is_refused_with_the_host(
    hosts: list[NetworkHost], store: Store, tmp_path: Path
) -> None:
    ended = run_on(hosts, store, tmp_path / "run", interface="docker0")
    assert all(rank.returncode for rank in ended)
    line = ("nobody-knows-b reaches no address of nobody-knows-a (docker0 172.17.0.1): "
            "open its ports, or name the interface with --interface")
    assert line in "".join(rank.stderr for rank in ended)


def test_hosts_of_one_machine_whose_names_nobody_knows_train_together(
    store: Store, tmp_path: Path
) -> None:
    """Names of their own are all that sets these two apart."""
    line = [sys.executable, "-m", "mpi_train",
            *arguments(store, tmp_path / "run", backend="gloo", max_steps=2)]
    named = [["unshare", "-u", "sh", "-c", f'hostname nobody-{name}; exec "$@"', "sh", *line]
             for name in "ab"]
    command = [*mpirun_command(1, named[0]), ":", "-n", "1", *named[1]]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, cwd=ROOT,
                           env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert ended.returncode == 0, ended.stderr
    assert len(losses(tmp_path / "run")) == 2


def test_the_interface_to_this_host_is_the_loopback() -> None:
    assert interface_to("127.0.0.1", 1) == interfaces()[-1].name


class AloneWorld:
    def Get_rank(self) -> int:
        return 0

    def allgather(self, value: object) -> list[object]:
        return [value]


def test_on_one_host_it_is_the_loopback_or_the_one_that_is_wanted() -> None:
    (found,) = find_interfaces(AloneWorld(), "host")
    assert found.address == "127.0.0.1"
    name = interfaces()[0].name
    assert [one.name for one in find_interfaces(AloneWorld(), "host", name)] == [name]


class ThreadWorld:
    """A rank that is a thread."""

    def __init__(self, rank: int, values: list[object], barrier: threading.Barrier) -> None:
        self.rank, self.values, self.barrier = rank, values, barrier

    def Get_rank(self) -> int:
        return self.rank

    def allgather(self, value: object) -> list[object]:
        self.values[self.rank] = value
        self.barrier.wait()
        found = list(self.values)
        self.barrier.wait()  # nobody writes again before all have read
        return found


@pytest.mark.parametrize("wants", [0, 1])
def test_an_interface_that_one_rank_alone_wants_is_heard_of_by_all(wants: int) -> None:
    values: list[object] = [None, None]
    barrier = threading.Barrier(2, timeout=60)
    name = interfaces()[0].name
    with ThreadPoolExecutor(2) as pool:
        ranks = [pool.submit(find_interfaces, ThreadWorld(rank, values, barrier), "host",
                             name if rank == wants else "") for rank in (0, 1)]
        one, other = (rank.result() for rank in ranks)
    assert one == other
    if wants == 0:  # the first rank of a host offers its interfaces
        assert {found.name for found in one} == {name}


def offer(*ports: tuple[str, str, int, int]) -> _Offer:
    return _Offer(b"word", ports)


def test_of_those_that_all_others_reach_it_is_the_first() -> None:
    offers = [offer(("ib0", "10.1.0.1", 9, 1), ("eth0", "10.0.0.1", 1, 1)),
              offer(("eth0", "10.0.0.2", 1, 1)), offer(("eth0", "10.0.0.3", 1, 1))]
    reached = [{(1, "eth0"): True, (2, "eth0"): True},
               {(0, "ib0"): True, (0, "eth0"): True, (2, "eth0"): True},
               {(0, "ib0"): False, (0, "eth0"): True, (1, "eth0"): True}]
    problem, chosen = _choose([0, 1, 2], offers, reached, ["a", "b", "c"], "")
    assert not problem
    assert chosen == {0: Interface("eth0", "10.0.0.1", 1), 1: Interface("eth0", "10.0.0.2", 1),
                      2: Interface("eth0", "10.0.0.3", 1)}


def test_a_host_that_another_one_does_not_reach_is_named_with_it() -> None:
    offers = [offer(("eth0", "10.0.0.1", 1, 1)), offer(("eth0", "10.0.0.2", 1, 1)), offer()]
    reached = [{(1, "eth0"): True}, {(0, "eth0"): True}, {(0, "eth0"): False, (1, "eth0"): True}]
    assert _choose([0, 1, 2], offers, reached, ["a", "b", "c"], "")[0].startswith(
        "c reaches no address of a (eth0 10.0.0.1): ")
    assert "no address of b (no interface eth7)" in _choose(
        [0, 1], [offers[0], offer()], [{}, {(0, "eth0"): True}], ["a", "b"], "eth7")[0]
