"""Whatever one rank does, all ranks end, with a line that says which one it was."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from reviews.store import Store
from tests.mpi_train.ranks import ROOT, run_ranks
from tests.mpi_train.runs import arguments
from tests.stores import make_store

LIMIT_S = 90  # three times what is promised
PROGRAM = "tests/mpi_train/fault_ranks.py"
POINTS = ("connect", "build", "read", "forward", "exchange", "step", "validate", "checkpoint")
KINDS = ("ValueError", "TypeError", "KeyError", "RuntimeError", "oom", "kill")
# (ranks, backend, point, kind): each point, each kind and each backend.
SAMPLE = [
    (2, "shm", "connect", "RuntimeError"), (2, "shm", "read", "KeyError"),
    (2, "shm", "forward", "ValueError"), (2, "gloo", "exchange", "TypeError"),
    (2, "mpi", "build", "ValueError"), (3, "shm", "step", "ValueError"),
    (1, "gloo", "forward", "ValueError"), (2, "shm", "validate", "oom"),
    (2, "shm", "checkpoint", "TypeError"), (2, "shm", "exchange", "kill"),
    (3, "shm+gloo", "across", "RuntimeError"), (4, "shm+gloo", "exchange", "kill"),
]  # fmt: skip
MATRIX = [(ranks, backend, point, kind)
          for ranks in (2, 3) for backend in ("shm", "gloo", "mpi") for point in POINTS
          for kind in KINDS]
# The last rank adds up with others of its host, or is alone and talks across.
MATRIX += [(ranks, "shm+gloo", point, kind)
           for ranks, points in ((3, ("exchange", "across")), (4, ("exchange", "step")))
           for point in points for kind in KINDS]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("faults") / "store",
                      {"train": 300, "validation": 60}, length=16)


def line(store: Store, out: Path, backend: str, point: str, kind: str, rank: int) -> list[str]:
    options = arguments(store, out, backend=backend, checkpoint_every=2, epochs=1)
    return [PROGRAM, point, kind, str(rank), *options]


def check(ended: subprocess.CompletedProcess[str], kind: str, rank: int, ranks: int) -> None:
    assert ended.returncode not in (0, 2), ended.stderr
    if kind == "kill":
        # By whoever is first: the watchdog of another rank, or the launcher.
        assert f"rank {rank}" in ended.stderr, ended.stderr
        assert "gone" in ended.stderr or "signal 9" in ended.stderr, ended.stderr
        return
    name = {"oom": "OutOfMemoryError"}.get(kind, kind)
    assert name in ended.stderr and "Traceback" in ended.stderr, ended.stderr
    if ranks > 1:
        assert f"rank {rank} of {ranks} failed" in ended.stderr, ended.stderr


def run(store: Store, out: Path, ranks: int, backend: str, point: str, kind: str) -> None:
    # Only rank 0 writes checkpoints.
    rank = 0 if point == "checkpoint" else ranks - 1
    words = line(store, out, backend, point, kind, rank)
    if ranks == 1:
        ended = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=ROOT,
                               timeout=LIMIT_S, env={**os.environ, "PYTHONPATH": str(ROOT)})
    else:
        ended = run_ranks(ranks, *words, timeout=LIMIT_S)
    check(ended, kind, rank, ranks)
    assert not (out / "summary.json").exists()


@pytest.mark.parametrize(("ranks", "backend", "point", "kind"), SAMPLE)
def test_one_rank_fails_and_all_end(
    ranks: int, backend: str, point: str, kind: str, store: Store, tmp_path: Path
) -> None:
    run(store, tmp_path / "run", ranks, backend, point, kind)


@pytest.mark.soak
@pytest.mark.parametrize(("ranks", "backend", "point", "kind"), MATRIX)
def test_so_they_do_at_every_point(
    ranks: int, backend: str, point: str, kind: str, store: Store, tmp_path: Path
) -> None:
    if point == "forward" and kind == "oom":
        pytest.skip("a micro-batch that finds no memory is halved")
    run(store, tmp_path / "run", ranks, backend, point, kind)


@pytest.mark.parametrize("backend", ["shm", "gloo"])
def test_all_stop_before_an_update_whose_gradient_is_no_number(
    backend: str, store: Store, tmp_path: Path
) -> None:
    words = line(store, tmp_path / "run", backend, "backward", "nan", 1)
    ended = run_ranks(2, *words, timeout=LIMIT_S)
    assert ended.returncode == 3, ended.stderr
    assert "the gradient of epoch 1, update 3 is not finite on rank" in ended.stdout


def test_so_they_do_under_torchrun(store: Store, tmp_path: Path) -> None:
    words = line(store, tmp_path / "run", "gloo", "forward", "ValueError", 1)
    ended = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2",
         "--master-port=0", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", *words],
        capture_output=True, text=True, cwd=ROOT, timeout=LIMIT_S,
        env={**os.environ, "PYTHONPATH": str(ROOT)})
    check(ended, "ValueError", 1, 2)


# Rank 1 has an older copy of the store.
STALE = """
import sys
from mpi4py import MPI
from mpi_train import data
from mpi_train.__main__ import main
if MPI.COMM_WORLD.Get_rank() == 1:
    class Stale(data.Store):
        def __init__(self, *args):
            super().__init__(*args)
            self.fingerprint = "0" * 64
    data.Store = Stale
from reviews.errors import UserError
try:
    sys.exit(main(sys.argv[1:]))
except UserError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""


def test_ranks_with_different_stores_are_refused_with_the_name_of_the_host(
    store: Store, tmp_path: Path
) -> None:
    ended = run_ranks(2, "-c", STALE, *arguments(store, tmp_path / "run"), timeout=LIMIT_S)
    assert ended.returncode == 2
    told = f"the store of {platform.node()} (rank 1) is {'0' * 64}, and that of"
    assert told in ended.stderr, ended.stderr
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
