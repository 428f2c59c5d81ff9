"""docs/balance-your-own.md: a plain DDP script finds the speeds of its ranks itself."""

import json
import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch.distributed as dist

from mpi_train.ddp import BalancedBatches
from tests.mpi_train.ddp_ranks import PER_EPOCH
from tests.mpi_train.ranks import ROOT

PAGE = ROOT / "docs" / "balance-your-own.md"


@pytest.fixture(scope="module")
def run() -> dict[str, Any]:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
               "--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0",
               "-m", "tests.mpi_train.ddp_ranks", str(PAGE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=ROOT,
                          env={**os.environ, "PYTHONPATH": str(ROOT), "EPOCHS": "4"})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def part_of_rank_0(run: dict[str, Any], first: int, last: int) -> float:
    shares = np.array(run["shares"][first:last])
    return float(np.median(shares[:, 0] / shares.sum(axis=1)))


def test_from_equal_shares_it_finds_the_ratio(run: dict[str, Any]) -> None:
    assert run["shares"][0] == [32, 32]
    assert part_of_rank_0(run, 20, 2 * PER_EPOCH) == pytest.approx(0.75, abs=0.1)


def test_and_again_after_the_speeds_have_changed(run: dict[str, Any]) -> None:
    assert part_of_rank_0(run, 2 * PER_EPOCH + 20, 4 * PER_EPOCH) == pytest.approx(0.25, abs=0.1)


def test_a_step_is_that_of_one_process(run: dict[str, Any]) -> None:
    assert run["shares"][-1][0] != run["shares"][-1][1]
    assert run["gradient_error"] < 1e-5


def test_every_row_is_in_one_part_once_an_epoch(run: dict[str, Any]) -> None:
    assert run["each_row_once"]


@pytest.mark.parametrize(("rows", "batch"), [(131, 64), (128, 64), (5, 64), (2, 64), (66, 64)])
def test_a_short_last_batch_is_trained_on_with_its_own_weights(
    rows: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dist, "get_world_size", lambda: 3)
    ranks = []
    for rank in range(3):
        monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
        ranks.append(BalancedBatches(rows, batch))
    updates, counted = 0, list[int]()
    for parts in zip(*ranks, strict=True):  # as many updates on every rank
        updates += 1
        weights = [rank.weight for rank in ranks]
        assert sum(weights) == pytest.approx(1)
        assert all(parts), "DDP waits for every rank"
        size = min(batch, rows - (updates - 1) * batch)
        for part, weight in zip(parts, weights, strict=True):
            counted += part if weight else []
            assert weight == 0 or weight == pytest.approx(len(part) / size)
    assert updates == len(ranks[0]) == -(-rows // batch)
    assert sorted(counted) == list(range(rows))


def test_less_than_15_lines_of_the_script_are_changed() -> None:
    script = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.S)[0]
    assert 0 < script.count("# +") < 15


def test_the_numbers_alone_come_to_their_balance(capsys: pytest.CaptureFixture[str]) -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.S)[1]
    exec(compile(code, str(PAGE), "exec"), {})
    work = [float(part) for part in re.findall(r"[\d.]+", capsys.readouterr().out)]
    # a is the same on both, so b alone decides: 3 to 1.
    assert work == pytest.approx([750, 250], abs=25)


def test_the_balancer_needs_neither_torch_nor_mpi() -> None:
    code = "import sys, mpi_train.balance.balancer; print({'torch', 'mpi4py'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"
