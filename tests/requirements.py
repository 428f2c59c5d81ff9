"""Requirements of tests that a machine may not have."""

import os

import pytest


def need(condition: bool, reason: str) -> None:
    """Skip the test, with its reason, where the condition does not hold.

    Under CI=true everything has to be there, so a missing part is a failure.
    """
    if condition:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have this: {reason}")
    pytest.skip(reason)
