"""Threads of a process: those named, else OMP_NUM_THREADS, else the host's cores over its ranks."""

import json
import os
import subprocess
import sys

import pytest
import torch

from mpi_train.configuration.config import TrainingConfig
from mpi_train.exchange.process_setup import lacking, prepare_process, processes_text

PROGRAM = """
import json, os, sys, torch
from mpi_train.exchange.process_setup import prepare_process
for named, environment in json.loads(sys.argv[1]):
    os.environ.update(environment)
    prepare_process(named, 1)
    print(torch.get_num_threads())
    for name in environment:
        del os.environ[name]
"""
CORES = len(os.sched_getaffinity(0))
CASES: dict[str, tuple[int, dict[str, str], int]] = {
    "nothing": (0, {}, CORES),
    "a number": (0, {"OMP_NUM_THREADS": "3"}, 3),
    "one a level": (0, {"OMP_NUM_THREADS": "3,2"}, 3),
    "named as an option": (5, {"OMP_NUM_THREADS": "3"}, 5),
    "no number": (0, {"OMP_NUM_THREADS": "many"}, CORES),
    "one": (0, {"OMP_NUM_THREADS": "1"}, 1),
    "one, by torchrun": (0, {"OMP_NUM_THREADS": "1", "TORCHELASTIC_RUN_ID": "none"}, CORES),
    "a number, by torchrun": (0, {"OMP_NUM_THREADS": "3", "TORCHELASTIC_RUN_ID": "none"}, 3),
}


@pytest.fixture(scope="module")
def threads() -> dict[str, int]:
    plain = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    asked = json.dumps([case[:2] for case in CASES.values()])
    done = subprocess.run([sys.executable, "-c", PROGRAM, asked], capture_output=True,
                          text=True, check=True, env=plain)
    return dict(zip(CASES, map(int, done.stdout.split()), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_the_users_number_of_threads_is_heeded(case: str, threads: dict[str, int]) -> None:
    assert threads[case] == CASES[case][2]


def test_fp32_is_not_rounded_on_gpus_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    prepare_process(torch.get_num_threads(), 1)
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("ranks", "number", "device", "said"), [
    (1, 1, "cpu", "1 rank (gloo), 1 thread each"),
    (2, 3, "cpu", "2 ranks (gloo), 3 threads each"),
    (1, 2, "cpu", "1 rank (gloo), 2 threads each "
     "(--ranks 2 uses as many cores, and small models gain by it)"),
    (1, 2, "cuda", "1 rank (gloo), 2 threads each"),
])
def test_the_log_says_how_many_ranks_and_threads_there_are(
    ranks: int, number: int, device: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: number)
    assert processes_text(ranks, "gloo", torch.device(device)) == said


@pytest.mark.parametrize(("options", "device", "said"), [
    ({"model": "lstm", "precision": "fp16"}, "cpu", "fp16 trains --model lstm on GPUs alone"),
    ({"model": "lstm", "precision": "fp16"}, "cuda", None),
    ({"model": "gru", "precision": "fp16"}, "cpu", None),
    ({"model": "gru", "parallel": "model"}, "cuda", "--parallel model is for processors"),
    ({"model": "gru", "parallel": "model"}, "cpu", None),
    ({"model": "gru"}, "cuda", None),
    ({"model": "gru", "parallel": "fsdp", "balance": "equal"}, "cuda",
     "--parallel fsdp on GPUs needs one for each rank"),
    ({"model": "gru", "parallel": "fsdp", "balance": "equal"}, "cpu", None),
])
def test_what_the_hardware_lacks_is_said(
    options: dict[str, str], device: str, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    found = lacking(TrainingConfig.of(**options), torch.device(device), "gloo")
    assert (found is None) == (said is None)
    assert said is None or said in (found or "")
