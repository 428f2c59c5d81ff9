"""`reviewmill train`: options that are seen at once, and mistakes told in one line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from cluster.mpirun import find_mpirun
from mpi_train.exchange.process_setup import has_bf16, prepare_process
from reviewmill import main
from reviews.errors import UserError
from reviews.store import Store
from tests.mpi_train.ranks import ROOT
from tests.mpi_train.runs import arguments, losses, records, train, train_on_ranks
from tests.requirements import need
from tests.stores import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("command") / "store",
                      {"train": 130, "validation": 20}, length=16, vocabulary=60)


def summary(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return found


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_those_asked_for(store: Store, tmp_path: Path, threads: int) -> None:
    run = train(store, tmp_path / "run", max_steps=1, threads=threads)
    assert summary(run)["environment"]["threads"] == threads


def test_a_pinned_rank_keeps_to_cores_of_its_own(store: Store, tmp_path: Path) -> None:
    cores = os.sched_getaffinity(0)
    try:
        for ranks, threads in ((1, 1), (2, 1), (2, 2)):
            found = []
            for rank in range(ranks):
                os.sched_setaffinity(0, cores)
                prepare_process(threads, ranks, rank, pin=True)
                found.append(os.sched_getaffinity(0))
            assert all(len(own) == min(threads, len(cores)) for own in found)
            if ranks * threads <= len(cores):
                assert len(set.union(*found)) == ranks * threads
        os.sched_setaffinity(0, cores)
        train(store, tmp_path / "free", max_steps=1)
        assert os.sched_getaffinity(0) == cores
        train(store, tmp_path / "pinned", max_steps=1, pin=True)
        assert len(os.sched_getaffinity(0)) == 1
    finally:
        os.sched_setaffinity(0, cores)


@pytest.mark.parametrize("backend", ["auto", "gloo", "mpi", "shm", "shm+gloo"])
def test_the_backend_is_the_one_asked_for(store: Store, tmp_path: Path, backend: str) -> None:
    run = train(store, tmp_path / "run", max_steps=1, backend=backend)
    best = "nccl" if torch.cuda.is_available() else "gloo"
    assert summary(run)["backend"] == (best if backend == "auto" else backend)


def test_gradients_that_do_not_travel_are_not_rounded(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    line = refusal(capsys, store.path, "--out", out, "--exchange", "bf16", "--backend", "mpi")
    assert "--exchange bf16 is for gradients that travel with gloo or nccl" in line
    assert not out.exists()


def test_a_host_file_says_how_many_ranks_a_host_gets(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    hosts = tmp_path / "hosts"
    hosts.write_text("localhost slots=2\n")
    out = tmp_path / "run"
    line = arguments(store, out, max_steps=2, keep="last")
    try:
        find_mpirun()
    except UserError as error:
        need(False, str(error))
    assert main(["train", str(store.path), "--hostfile", str(hosts),
                 *(part for part in line if not part.startswith("--store"))]) == 0
    assert [len(step["shares"]) for step in records(out, "step")] == [2, 2]
    assert len(set(summary(out)["hosts"])) == 1


def test_a_batch_size_for_each_rank_stays_what_it_was_on_other_ranks(
    store: Store, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    line = [part for part in arguments(store, out, batch_size_per_rank=24, max_steps=3, epochs=3)
            if not part.startswith("--batch-size=")]
    train_on_ranks(2, [[*line, "--resume"]])  # of nothing: the run begins
    line.remove("--max-steps=3")
    train_on_ranks(1, [[*line, "--resume", "--max-steps=5"]])
    # An epoch has 130 reviews.
    assert [step["reviews"] for step in records(out, "step")] == [48, 48, 34, 48, 48]


def test_bf16_is_for_hardware_that_has_it(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if has_bf16(device):
        exact = train(store, tmp_path / "exact", max_steps=3)
        rounded = train(store, tmp_path / "rounded", max_steps=3, precision="bf16")
        assert losses(rounded) != losses(exact)
        assert losses(rounded) == pytest.approx(losses(exact), rel=2e-2)
        return
    out = tmp_path / "run"
    line = refusal(capsys, store.path, "--out", out, "--precision", "bf16")
    assert "--precision bf16 is for hardware that multiplies such numbers" in line
    assert not out.exists()


def test_smaller_micro_batches_pad_less(store: Store, tmp_path: Path) -> None:
    tokens = [
        records(train(store, tmp_path / str(limit), max_steps=1, micro_batch_tokens=limit),
                "step")[0]["tokens"]
        for limit in (32, 10_000)
    ]
    assert tokens[0] < tokens[1]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line with which the command refuses, with exit status 2."""
    try:
        status = main(["train", *map(str, arguments)])
    except SystemExit as end:
        status = int(end.code or 0)
    assert status == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    [line] = shown.err.splitlines()
    assert line.startswith("reviewmill train: ")
    return line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--learning-rat 1", "unknown argument --learning-rat; did you mean --learning-rate"),
        ("--optimizer adm", "invalid choice: 'adm' (choose from 'adam', 'adamw', "),
        ("--backend tcp", "choose from 'auto', 'nccl', 'gloo', 'mpi', 'shm', 'shm+gloo'"),
        ("--ranks 0", "--ranks is 0: give 1 or more"),
        ("--ranks 100000", "--ranks is 100000: this machine has"),
        ("--ranks 2 --shares 1,2,3", "--shares names 3 ranks, but there are 2"),
        ("--ranks 2 --hostfile nothing-here", "no host file nothing-here"),
        ("--shares 1,x", "--shares: 'x' is not a number"),
        ("--ranks 2 --shares 1,2 --caps 1,1", "--caps is about --balance dynamic"),
        ("--balance epoch --rebalance-every 4", "--rebalance-every is about --balance dynamic"),
    ],
)
def test_a_mistake_is_told_before_any_rank_is_started(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: str, message: str
) -> None:
    out = tmp_path / "run"
    assert message in refusal(capsys, store.path, "--out", out, *options.split())
    assert not out.exists()


def test_a_store_of_another_format_is_refused_with_both_versions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "manifest.json").write_text('{"format": "reviewmill-store/9"}')
    line = refusal(capsys, tmp_path, "--out", tmp_path / "run")
    assert "reviewmill-store/9; this program reads reviewmill-store/1" in line


def test_a_store_without_training_rows_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = make_store(tmp_path / "store", {"validation": 5}, length=16, vocabulary=60)
    assert "has no training rows" in refusal(capsys, empty.path, "--out", tmp_path / "run")
