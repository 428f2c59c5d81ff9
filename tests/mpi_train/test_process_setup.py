"""Threads of a process: those named, else OMP_NUM_THREADS, else the host's cores over its ranks."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys, torch
from mpi_train.process_setup import prepare_process
prepare_process(int(sys.argv[1]), 1)
print(torch.get_num_threads())
"""
CORES = len(os.sched_getaffinity(0))


def threads(named: int, **environment: str) -> int:
    plain = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(named)], capture_output=True,
                          text=True, check=True, env=plain | environment)
    return int(done.stdout)


@pytest.mark.parametrize(("named", "environment", "expected"), [
    (0, {}, CORES),
    (0, {"OMP_NUM_THREADS": "3"}, 3),
    (0, {"OMP_NUM_THREADS": "3,2"}, 3),
    (5, {"OMP_NUM_THREADS": "3"}, 5),
    (0, {"OMP_NUM_THREADS": "many"}, CORES),
    (0, {"OMP_NUM_THREADS": "1"}, 1),
    (0, {"OMP_NUM_THREADS": "1", "TORCHELASTIC_RUN_ID": "none"}, CORES),
    (0, {"OMP_NUM_THREADS": "3", "TORCHELASTIC_RUN_ID": "none"}, 3),
])  # fmt: skip
def test_the_users_number_of_threads_is_heeded(
    named: int, environment: dict[str, str], expected: int
) -> None:
    assert threads(named, **environment) == expected
