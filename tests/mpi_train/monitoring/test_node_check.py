"""Check of a node: every device multiplies; a wrong product is a status."""

import json

import pytest

from mpi_train.monitoring import node_check


def test_every_device_multiplies(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_check, "SIZE", 64)
    assert node_check.main(["devices"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found and all(one["right"] and one["teraflops"] > 0 for one in found)


def test_a_wrong_product_is_a_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_check, "_product", lambda name: {"device": name, "right": False})
    assert node_check.main(["devices"]) == 1
