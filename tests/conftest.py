"""What holds for all tests."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A slow machine is no mistake.
settings.register_profile("reviewmill", deadline=None)
settings.load_profile("reviewmill")

# Files that take a minute or more, the longest ones first. `make test` hands out whole files in
# the order of the tests: whoever was given one of these last would be left alone with it.
LONGEST = [
    "mapreduce/test_engines.py", "benchmarks/test_benchmarks.py", "mapreduce/test_emr.py",
    "mpi_train/test_exactness.py", "end_to_end/test_wheel.py", "mpi_train/test_balance.py",
    "mpi_train/test_kill.py", "end_to_end/test_docs.py", "mpi_train/test_worlds.py",
    "end_to_end/test_demo.py", "mpi_train/test_ddp.py",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; the others stay in their order."""
    place = {Path(__file__).parent / name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Denormal numbers, which training flushes, as other tests in the same process need them."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)
