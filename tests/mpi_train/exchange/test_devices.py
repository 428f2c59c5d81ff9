"""Device of a rank: what was asked for, or one line that says why it cannot be had."""

import platform
from pathlib import Path

import pytest
import torch

from mpi_train.evaluate import main as evaluate
from mpi_train.exchange import communicator as communicators
from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.devices import (
    Gpus,
    check_device,
    choose_device,
    idle_gpus_text,
    place_among,
)
from reviews.errors import UserError
from reviews.store import Store
from tests.mpi_train.runs import records, train
from tests.stores import make_store


def on(count: int, local_rank: int = 0, local_size: int = 1) -> Gpus:
    return Gpus("gpu01", count, local_rank, local_size, each=count >= local_size)


@pytest.mark.parametrize(("wanted", "backend", "gpus", "device"), [
    ("auto", "auto", on(0), "cpu"),
    ("auto", "auto", on(2, 1, 2), "cuda:1"),
    ("auto", "auto", on(1, 1, 2), "cpu"),  # not one for each
    ("auto", "gloo", on(2), "cpu"),
    ("auto", "nccl", on(2, 1, 2), "cuda:1"),
    ("cpu", "auto", on(2), "cpu"),
    ("cuda", "auto", on(2, 1, 2), "cuda:1"),
    ("cuda", "gloo", on(2, 3, 4), "cuda:1"),  # ranks share GPUs in turn
    ("cuda:1", "gloo", on(2, 0, 2), "cuda:1"),
    ("cuda:0", "nccl", on(2), "cuda:0"),
])
def test_a_rank_gets_the_device_that_was_asked_for(
    wanted: str, backend: str, gpus: Gpus, device: str
) -> None:
    assert choose_device(wanted, backend, gpus) == (device, None)


def test_auto_takes_no_gpus_where_another_host_lacks_some() -> None:
    assert choose_device("auto", "auto", Gpus("gpu01", 2, 0, 1, each=False)) == ("cpu", None)


@pytest.mark.parametrize(("wanted", "backend", "gpus", "problem"), [
    ("auto", "nccl", on(1, 0, 2), "--backend nccl needs a GPU for each of the 2 ranks of a host, "
     "and gpu01 has 1: give --backend gloo"),
    ("cuda", "nccl", on(1, 0, 2), "--backend nccl needs a GPU for each of the 2 ranks"),
    ("cuda:0", "nccl", on(2, 0, 2), "--backend nccl needs a GPU for each of the 2 ranks"),
    ("cpu", "nccl", on(2), "--backend nccl is for GPUs, and not for --device cpu"),
    ("cuda", "mpi", on(1), "--device cuda is for the backends nccl and gloo, and not for mpi"),
    ("cuda:0", "shm", on(1), "--device cuda:0 is for the backends nccl and gloo"),
    ("cuda", "auto", on(0), "--device cuda: torch finds no GPU on gpu01"),
    ("cuda:2", "auto", on(2), "--device cuda:2: torch finds 2 GPUs on gpu01, counted from 0"),
])
def test_a_device_that_cannot_be_had_is_said(
    wanted: str, backend: str, gpus: Gpus, problem: str
) -> None:
    found = choose_device(wanted, backend, gpus)[1]
    assert found and found.startswith(problem)


def test_ranks_that_see_the_same_gpus_take_them_by_their_number() -> None:
    hosts, both = ["a", "b", "a", "b"], ("x", "y")
    assert [place_among(rank, hosts, [both] * 4) for rank in range(4)] == [
        (0, 2), (0, 2), (1, 2), (1, 2)]


def test_a_rank_that_is_shown_a_gpu_of_its_own_shares_it_with_nobody() -> None:
    seen = [("x",), ("y",), ("y",)]
    assert [place_among(rank, ["a"] * 3, seen) for rank in range(3)] == [(0, 1), (0, 2), (1, 2)]


class Ranks:
    """A world of ranks on one host that see these GPUs, as the first of them hears the others."""

    def __init__(self, *seen: tuple[str, ...]) -> None:
        self.seen = seen

    def allgather(self, own: object) -> list[object]:
        if isinstance(own, tuple) and isinstance(own[1], tuple):  # its GPUs
            return [(own[0], gpus) for gpus in self.seen]
        if isinstance(own, tuple):  # the one it has taken
            return [(own[0], gpus[0]) for gpus in self.seen]
        return [own] * len(self.seen)

    def bcast(self, value: object) -> object:
        return value


@pytest.mark.parametrize(("seen", "backends"), [
    ([("x",), ("y",)], ("nccl",)),
    ([("x",), ("x",)], ("gloo",)),
])
def test_ranks_on_the_first_gpu_that_each_sees_have_their_own_where_these_are_different(
    seen: list[tuple[str, ...]], backends: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(communicators, "visible_gpus", lambda: seen[0])
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    communicator = Communicator()
    monkeypatch.setattr(communicator, "world", Ranks(*seen))
    monkeypatch.setattr(communicator, "hosts", ["a", "a"])
    communicator.connect("auto", device="cuda")
    assert communicator.device == torch.device("cuda:0")
    assert communicator.candidates == backends


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "", "CPU"])
def test_other_devices_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="give auto, cpu, cuda or cuda:N"):
        check_device(name)


def test_ranks_beside_unused_gpus_are_named() -> None:
    hosts = ["a", "a", "b"]
    assert idle_gpus_text(hosts, [False] * 3) is None
    assert idle_gpus_text(hosts, [False, True, False]) == (
        "rank 1 on a trains on the CPU beside an unused GPU: --device cuda takes it")
    assert idle_gpus_text(hosts, [True] * 3) == (
        "ranks 0, 1, 2 on a, b train on the CPU beside an unused GPU: --device cuda takes it")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("devices") / "store",
                      {"train": 130, "validation": 20, "test": 40}, length=16)


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """torch finds so many GPUs, none of which is to be touched."""
    seen = tuple(f"gpu-{number}" for number in range(count))
    monkeypatch.setattr(communicators, "visible_gpus", lambda: seen)


def test_a_rank_on_the_cpu_beside_an_unused_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 1)
    communicator = Communicator()
    communicator.connect("gloo")
    assert communicator.device.type == "cpu"
    assert communicator.unused_gpus == (f"rank 0 on {platform.node()} trains on the CPU beside an "
                                        "unused GPU: --device cuda takes it")
    communicator.connect("gloo", device="cpu")  # as it was asked to
    assert communicator.unused_gpus is None


def test_what_a_run_says_stands_in_its_log(store: Store, tmp_path: Path) -> None:
    run = train(store, tmp_path / "run", max_steps=1, device="cpu")
    assert '"device": "cpu"' in (run / "summary.json").read_text()
    assert "device: cpu" in (run / "config.yaml").read_text()
    assert "unused GPU" not in (run / "log.txt").read_text()


def test_train_and_evaluate_refuse_a_gpu_that_is_not_there(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(store, tmp_path / "run", max_steps=1)
    with_gpus(monkeypatch, 0)
    with pytest.raises(UserError, match="--device cuda: torch finds no GPU on"):
        train(store, tmp_path / "other", max_steps=1, device="cuda")
    assert not (tmp_path / "other").exists()
    with pytest.raises(UserError, match="--device cuda: torch finds no GPU on"):
        evaluate([str(run), "--store", str(store.path), "--device", "cuda"])
    assert not records(run, "evaluation")
    assert evaluate([str(run), "--store", str(store.path), "--device", "cpu"]) == 0
    assert records(run, "evaluation")
