"""Shared memory of the ranks of one host."""

from pathlib import Path

import pytest

from mpi_train.exchange.shared_memory.memory import share_memory
from tests.mpi_train.ranks import run_ranks

PROGRAM = """
from mpi4py import MPI
from mpi_train.exchange.shared_memory.memory import share_memory
world = MPI.COMM_WORLD
memory = share_memory(world, 100)
assert len(memory) == 100 and not memory.any()
world.Barrier()
memory[world.rank] = world.rank + 1
world.Barrier()
assert memory[:3].tolist() == [1, 2, 3]
"""


class Elsewhere:
    """Rank 1 of 2, on another host than rank 0, whose memory is said to be at `place`."""

    def __init__(self, place: str) -> None:
        self.place = place

    def Get_rank(self) -> int:
        return 1

    def bcast(self, _: object) -> tuple[str, bytes]:
        return self.place, b"a token of rank 0"[:16]

    def allgather(self, own: bool) -> list[bool]:
        return [True, own]


def test_what_one_rank_writes_the_others_read(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    done = run_ranks(3, "-m", "mpi4py", tmp_path / "program.py")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("there", [None, b"", b"short", bytes(200)])
def test_memory_of_another_host_is_not_taken_for_the_own(
    tmp_path: Path, there: bytes | None
) -> None:
    place = tmp_path / "fd"
    if there is not None:
        place.write_bytes(there)
    assert share_memory(Elsewhere(str(place)), 100) is None
