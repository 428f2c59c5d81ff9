"""Settings of all tests, and the seconds of each file."""

import os
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from reviews.runtime.quick_imports import lasting_imports

# Tests run beside each other, and in processes that start without the programs' own settings.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# A slow machine is no mistake.
settings.register_profile("reviewmill", deadline=None)
settings.load_profile("reviewmill")

FILES_SHOWN = 20


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among what all tests import: a third of each worker's start."""
    with lasting_imports():
        return (yield)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m gpu` alone, import no module without such a test: a machine that has a GPU may lack
    what the others import."""
    if config.option.markexpr != "gpu":
        return None
    files = collection_path.rglob("test_*.py") if collection_path.is_dir() else [collection_path]
    return None if any("mark.gpu" in file.read_text("utf-8") for file in files) else True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the files that took longest, with their share of the whole."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    whole = sum(seconds.values())
    if len(seconds) > 1:
        terminalreporter.write_sep("=", f"files by seconds, of {whole:,.0f}")
        for file, took in seconds.most_common(FILES_SHOWN):
            terminalreporter.write_line(f"{took:8.2f}s {took / whole:5.1%} {file}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none, under CI, too."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a GPU that torch can use")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Denormal numbers, which training flushes, as other tests in the same process need them."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)
