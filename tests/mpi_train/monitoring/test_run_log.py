"""Versions of a run; tests/mpi_train/test_runs.py has what is written of it."""

from importlib.metadata import PackageNotFoundError

import pytest
import torch

from mpi_train.monitoring import run_log


def test_a_source_tree_that_is_not_installed_has_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(run_log, "version", absent)
    found = run_log.versions()
    assert found["reviewmill"] == "not installed"
    assert found["torch"] == torch.__version__
