"""What holds for all tests."""

import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

# A slow machine is no mistake.
settings.register_profile("reviewmill", deadline=None)
settings.load_profile("reviewmill")

@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Denormal numbers, which training flushes, as other tests in the same process need them."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)
