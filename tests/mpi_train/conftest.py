"""Training changes how a process computes; after a test it computes as before."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    """Threads as other tests in the same process need them."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
