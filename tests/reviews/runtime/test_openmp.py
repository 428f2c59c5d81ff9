"""OpenMP's waiting is set by the programs that compute, before torch is loaded."""

import os
import subprocess
import sys

import pytest

from reviews.runtime.openmp import WAITING

NAMES = (*WAITING,)
SET = " ".join(WAITING.values())


def waiting(program: str, **environment: str) -> str:
    plain = {name: value for name, value in os.environ.items() if name not in NAMES}
    done = subprocess.run([sys.executable, "-c", f"import os, sys; {program}; "
                           f"print(*map(os.environ.get, {NAMES}), file=sys.stderr)"],
                          capture_output=True, text=True, check=True, env={**plain, **environment})
    return done.stderr.strip()


@pytest.mark.parametrize(("program", "expected"), [
    ("import mpi_train.__main__", SET),
    ("import reviewmill; reviewmill.main(['runs', '.'])", SET),
    ("import mpi_train.balance.balancer", "None None"),
], ids=["a rank", "the command", "an import of the balancer"])
def test_programs_set_it_and_what_others_import_does_not(program: str, expected: str) -> None:
    assert waiting(program) == expected


def test_what_the_user_has_set_stays() -> None:
    assert waiting("import mpi_train.__main__",
                   OMP_WAIT_POLICY="active", GOMP_SPINCOUNT="7") == "active 7"
