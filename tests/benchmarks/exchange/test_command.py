"""The table of ways to sum gradients."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.exchange.command import main
from reviews.errors import UserError
from tests.mpi_train.ranks import ROOT
from tests.stores import make_store


def test_every_backend_has_a_line_beside_the_first(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"train": 64}, length=16)
    done = subprocess.run(
        [sys.executable, "-m", "reviewmill", "bench", "exchange", store.path, "--ranks=2",
         "--turns=1", "--updates=1", "--backends=gloo,shm+gloo,mpi", "--", "--model=lstm",
         "--batch-size=32"], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    title, _, header, *rows = done.stdout.splitlines()
    assert "2 ranks on 1 host; lstm, gradient of " in title
    assert [row.split()[0] for row in rows] == ["gloo", "shm+gloo", "mpi"]
    assert rows[0].split()[2::2] == ["1.00"] * 3
    assert header.split() == ["backend", "sum", "ms", "ratio", "exchange", "ms", "ratio",
                              "reviews/s", "ratio"]


@pytest.mark.parametrize(("line", "problem"), [
    (["--backends=nccl", "--ranks=2"], "--backends are of gloo, shm"),
    ([], "give --ranks, --hostfile, or both"),
    (["--ranks=2", "--turns=0"], "give --turns and --updates 1 or more"),
])
def test_a_line_that_asks_for_nothing_is_refused(line: list[str], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        main(line)
