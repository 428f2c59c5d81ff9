"""A pretended EC2, records in a folder of the test, and nobody who waits."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.gpu import cloud, roles
from cluster.gpu.cloud import Pace
from cluster.gpu.config import GpuConfig
from tests.cluster.aws import BUCKET, REGION, pretended_aws
from tests.cluster.gpu.ec2 import alive, left_over


@pytest.fixture(scope="package")
def server() -> Iterator[str]:
    for address in pretended_aws():
        role = GpuConfig().node_role
        roles.set_up(role, roles.documents(
            role, "123456789012", REGION, [], [f"s3://{BUCKET}/work"]))
        yield address


@pytest.fixture
def aws(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The server, on which nothing runs before and nothing may be left afterwards."""
    monkeypatch.setenv("REVIEWMILL_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(cloud, "PACE", Pace(poll_s=0.01, absence_s=0.02, end_s=20))
    assert (alive(), left_over()) == ([], [])
    yield server
    assert (alive(), left_over()) == ([], [])
