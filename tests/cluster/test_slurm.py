"""The batch script: what is in it, and what a real Slurm of two nodes makes of it."""

import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.slurm import main
from reviews.bundle import read_bundle
from reviews.errors import UserError
from reviews.store import Store
from tests.mpi_train.runs import arguments, difference, losses, records
from tests.slurm import LIMIT_S, Slurm, slurm
from tests.stores import make_store

OPTIONS = {"epochs": 40, "keep": "last", "balance": "equal", "checkpoint_every": 25}


def script(folder: Path, *words: str) -> str:
    file = folder / "train.sbatch"
    assert main(["/data/store", "--out", "/runs/one", "--script", str(file), *words]) == 0
    assert subprocess.run(["bash", "-n", file]).returncode == 0
    return file.read_text()


def test_the_script_says_nodes_ranks_limit_and_notice(tmp_path: Path) -> None:
    text = script(tmp_path, "--nodes=2", "--ranks-per-node=4", "--gpus-per-node=4",
                  "--time=4:00:00", "--partition=gpu", "--notice=60", "--", "--model", "a b")
    directives = [line.removeprefix("#SBATCH --") for line in text.splitlines()
                  if line.startswith("#SBATCH")]
    assert directives == [
        "job-name=reviewmill", "nodes=2", "ntasks-per-node=4", "gpus-per-node=4", "time=4:00:00",
        "partition=gpu", "output=reviewmill-%j.log", "open-mode=append", "requeue",
        "signal=USR1@60"]
    assert f"{shlex.quote(sys.executable)} -P -m mpi_train --store /data/store --out /runs/one " \
           "--resume --model 'a b'\n" in text


def test_an_array_has_a_run_for_each_seed(tmp_path: Path) -> None:
    text = script(tmp_path, "--seeds=7,9")
    assert "#SBATCH --array=0-1\n" in text and "seeds=(7 9)\n" in text
    assert "--out /runs/one/seed-$seed --seed $seed --resume\n" in text


@pytest.mark.parametrize(("word", "told"), [
    ("--nodes=0", "--nodes is 0: give 1 or more"), ("--time=soon", "--time is soon: give minutes"),
    ("--seeds=1,x", "--seeds is 1,x: give whole numbers"), ("--notice=0", "--notice is 0")])
def test_what_slurm_would_not_take_is_refused(word: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        main(["/data/store", "--out", "/runs/one", "--script", str(tmp_path / "x"), word])
    assert not (tmp_path / "x").exists()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Slurm]:
    with slurm(tmp_path / "slurm", nodes=2) as made:
        yield made


def wait_for_updates(out: Path, number: int, cluster: Slurm) -> None:
    limit = time.monotonic() + LIMIT_S
    found = 0
    while found < number:
        with contextlib.suppress(FileNotFoundError, ValueError):
            found = len(records(out, "step"))
        assert time.monotonic() < limit, cluster.logs()
        time.sleep(0.1)


def options(store: Store, out: Path) -> list[str]:
    return [word for word in arguments(store, out, **OPTIONS)
            if not word.startswith(("--store", "--out"))]


@pytest.mark.soak
def test_a_job_that_is_asked_to_end_and_one_that_is_requeued_reach_the_weights_of_one_that_is_not(
    cluster: Slurm, tmp_path: Path
) -> None:
    store = make_store(tmp_path / "store", {"train": 300, "validation": 20}, length=16)
    out, file = tmp_path / "run", tmp_path / "train.sbatch"
    assert main([str(store.path), "--out", str(out), "--script", str(file), "--nodes=2",
                 "--time=10", "--", *options(store, out)]) == 0
    job = cluster.run("sbatch", "--parsable", file).strip()
    wait_for_updates(out, 20, cluster)
    # As Slurm does before the limit: to the ranks, and not to the script.
    cluster.run("scancel", "--signal=USR1", job)
    cluster.wait_for(job, "PENDING", "REQUEUED")
    before = len(records(out, "step"))
    cluster.wait_for(job, "RUNNING", "COMPLETED")
    wait_for_updates(out, before + 20, cluster)
    # As for a job that goes first.
    cluster.run("scontrol", "requeue", job)
    cluster.wait_for(job, "COMPLETED")
    log = (out / "log.txt").read_text()
    assert "ended by SIGUSR1 after update" in log and "ended by SIGTERM after update" in log

    whole = tmp_path / "whole"
    cluster.run("srun", "-N2", "--mpi=none", sys.executable, "-P", "-m", "mpi_train", "--store",
                store.path, "--out", whole, *options(store, whole))
    assert losses(out) == losses(whole)
    assert difference(read_bundle(out).weights, read_bundle(whole).weights) == 0
    assert os.path.exists(out / "summary.json")
