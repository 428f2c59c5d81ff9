"""Ranks hear the same of each other whoever started them: mpirun, torchrun, or srun without PMI."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpi_train.__main__ import main
from mpi_train.exchange.communicator import TRANSPORTS, Communicator, check_size
from mpi_train.exchange.tcp_store_world import Rendezvous, find_rendezvous, first_host
from reviews.bundle import read_bundle
from reviews.errors import UserError
from tests.mpi_train.ranks import ROOT, run_ranks
from tests.mpi_train.runs import arguments, losses, records
from tests.stores import make_store

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "3", "WORLD_SIZE": "4", "MASTER_ADDR": "head",
            "MASTER_PORT": "29500", "TORCHELASTIC_USE_AGENT_STORE": "True"}
SRUN = {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "3", "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_ID": "0"}


def by_torchrun(ranks: int, *command: Any) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node",
            str(ranks), *map(str, command)]
    return subprocess.run(line, capture_output=True, text=True, timeout=200, cwd=ROOT,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})


def by_srun(ranks: int, *command: Any) -> tuple[int, str, str]:
    """Ranks as srun starts them without PMI, each with its number in the environment."""
    started = [
        subprocess.Popen(
            [sys.executable, *map(str, command)], cwd=ROOT, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **SRUN, "SLURM_PROCID": str(rank),
                 "SLURM_STEP_NUM_TASKS": str(ranks), "PYTHONPATH": str(ROOT)})
        for rank in range(ranks)
    ]
    ended = [process.communicate(timeout=200) for process in started]
    return max(abs(p.returncode) for p in started), ended[0][0], "".join(e for _, e in ended)


def test_the_ranks_hear_the_same_of_each_other_whoever_started_them() -> None:
    program = ("-m", "tests.mpi_train.exchange.worlds")
    mpirun, torchrun = run_ranks(2, *program), by_torchrun(2, *program)
    status, printed, errors = by_srun(2, *program)
    assert (mpirun.returncode, torchrun.returncode, status) == (0, 0, 0), (
        mpirun.stderr + torchrun.stderr + errors)
    heard = [json.loads(text.splitlines()[-1])
             for text in (mpirun.stdout, torchrun.stdout, printed)]
    refusals = [[rank.pop("refusal") for rank in ranks] for ranks in heard]
    assert refusals[0] == [None] * 2
    assert refusals[1] == refusals[2] == [
        "--backend mpi needs mpirun, or srun --mpi=pmix: give --backend gloo", 2]
    assert heard[0] == heard[1] == heard[2]
    assert [rank["ranks"] for rank in heard[0]] == [[2, 0, 2], [2, 1, 2]]
    for machines in ("on one one", "on one two"):
        assert heard[0][1][machines] == [[3.0, 4.0], [[0.0], [1.0]]]
    assert heard[0][0]["answer"] == [False, [{"call": 1}, {"call": 2}], "other", False]


def test_torchrun_trains_the_model_of_one_process(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"train": 600, "validation": 80}, length=16,
                       vocabulary=60)
    options = {"epochs": 2, "keep": "last", "word_dropout": 0.1}
    assert main(arguments(store, tmp_path / "one", **options)) == 0
    run = by_torchrun(2, "-m", "mpi_train", *arguments(store, tmp_path / "two", **options))
    assert run.returncode == 0, run.stderr
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)
    assert len(records(tmp_path / "two", "step")[0]["shares"]) == 2
    one, two = (read_bundle(tmp_path / name).weights for name in ("one", "two"))
    assert max(np.abs(one[name] - two[name]).max() for name in one) <= 1e-4


def test_the_environment_says_who_started_a_rank() -> None:
    assert find_rendezvous({}) is None
    assert find_rendezvous({**TORCHRUN, "OMPI_COMM_WORLD_SIZE": "2"}) is None
    assert find_rendezvous({**SRUN, "PMIX_RANK": "1"}) is None, "MPI knows the ranks"
    assert find_rendezvous({**SRUN, "SLURM_STEP_NUM_TASKS": "1"}) is None
    assert find_rendezvous(TORCHRUN) == Rendezvous(3, 4, "head", 29500, served=True)
    found = find_rendezvous({**SRUN, "SLURM_STEP_NODELIST": "gpu[03-07,12],login"})
    assert found is not None
    assert (found.rank, found.size, found.host, found.served) == (1, 3, "gpu03", False)
    ports = {find_rendezvous({**SRUN, "SLURM_STEP_ID": str(step)}) for step in range(3)}
    assert len(ports) == 3, "steps of a job do not meet"


def test_an_attempt_of_torchrun_does_not_meet_the_one_before() -> None:
    again = find_rendezvous({**TORCHRUN, "TORCHELASTIC_RESTART_COUNT": "2"})
    assert again is not None and again.attempt == "2"


@pytest.mark.parametrize(("environment", "size", "problem"), [
    ({}, 1, None),
    ({"OMPI_COMM_WORLD_SIZE": "2"}, 2, None),
    ({"OMPI_COMM_WORLD_SIZE": "2", "SLURM_STEP_NUM_TASKS": "1"}, 2, None),  # mpirun in a batch job
    ({"SLURM_NTASKS": "4"}, 1, None),  # a batch script without srun
    ({"OMPI_COMM_WORLD_SIZE": "2"}, 1, "Open MPI's mpirun started 2 ranks"),
    ({"PMI_SIZE": "4", "SLURM_STEP_NUM_TASKS": "4"}, 1, "a launcher with PMI started 4 ranks"),
    ({"SLURM_STEP_NUM_TASKS": "3", "PMIX_RANK": "0"}, 1, "srun started 3 ranks"),
])  # fmt: skip
def test_a_rank_that_finds_itself_alone_among_many_is_refused(
    environment: dict[str, str], size: int, problem: str | None
) -> None:
    if problem is None:
        check_size(environment, size)
        return
    with pytest.raises(UserError, match=f"{problem}, but the MPI of mpi4py finds {size}"):
        check_size(environment, size)


@pytest.mark.parametrize("named", ["", "self,sm,tcp"])
def test_open_mpi_takes_no_transport_of_one_sided_access_unless_some_are_named(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TRANSPORTS, named)
    if not named:
        monkeypatch.delenv(TRANSPORTS)
    assert Communicator().size == 1
    assert os.environ[TRANSPORTS] == (named or "^ofi,uct")


@pytest.mark.parametrize(("nodes", "first"), [
    ("one", "one"), ("one,two", "one"), ("n[1-3]", "n1"), ("n[08,10-11],m", "n08"),
    ("a-b.c[2]", "a-b.c2"), ("rack[1-2]node[03-04],x", "rack1node03"),
])
def test_the_first_host_of_a_node_list_is_where_ranks_meet(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


def test_a_groups_threads_end_before_the_interpreter_does() -> None:
    code = """
import atexit, os
threads = lambda: len(os.listdir("/proc/self/task"))
# What is registered first is called last.
atexit.register(lambda: print(threads()))
import torch
from mpi_train.exchange.process_groups import make_process_group
store = torch.distributed.HashStore()
print(threads())
group = make_process_group("ProcessGroupGloo", store, 0, 1)
group.allreduce([torch.zeros(3)]).wait()
print(threads())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
                          env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"}, timeout=100)
    before, meanwhile, at_the_end = map(int, done.stdout.split())
    assert meanwhile > before
    assert at_the_end == before
