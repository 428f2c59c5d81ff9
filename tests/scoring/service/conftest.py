"""A server that the tests of several files call."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scoring.bundles import make_bundle
from tests.scoring.service.server import Server, serving


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle; by its path the server names it `served`."""
    return make_bundle(tmp_path_factory.mktemp("model") / "served", "views")[0]


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another bundle, `bag`, of five classes."""
    return make_bundle(tmp_path_factory.mktemp("other") / "bag", "bag", outputs=5)[0]


@pytest.fixture(scope="session")
def server(model: Path, other: Path) -> Iterator[Server]:
    """A server of both."""
    with serving(model, str(other)) as started:
        yield started
