"""The table of data parallel and model parallel trainings."""

import os
from pathlib import Path

import pytest

from benchmarks.ranks.model_parallel import main, recurrent_part
from tests.stores import make_store


def test_the_recurrent_layers_are_most_of_the_work(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"train": 128}, length=64)
    assert 0.6 < recurrent_part(store, 128) < 1


@pytest.mark.soak
def test_each_number_of_cores_has_its_speed_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_store(tmp_path / "store", {"train": 256, "validation": 64})
    assert main([str(store.path), "--updates", "1", "--repeat", "1", "--batch-size", "64"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()
            if line.startswith(("data", "model"))]
    assert rows[0][:2] == ["data", "1"] and rows[0][3:] == ["1.00", "100%"]
    cores = len(os.sched_getaffinity(0))
    wanted = {("data", "1"), *((name, str(2**power)) for name in ("data", "model")
                               for power in range(1, cores.bit_length()))}
    assert {tuple(row[:2]) for row in rows} == wanted
