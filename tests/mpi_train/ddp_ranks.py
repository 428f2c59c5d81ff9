"""Run by torchrun on 2 ranks: the script of docs/balance-your-own.md, with made-up speeds.

A row takes rank 1 three times as long as rank 0, and from the third epoch on the other way round.
Prints, on rank 0, {"shares": [[...] per update], "gradient_error": ..., "rows": ...} as JSON.
"""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional

from mpi_train.ddp import BalancedBatches
from mpi_train.exchange.process_groups import leave

ROW_S, SLOWER = 1e-3, 3
PER_EPOCH = 64  # updates

shares: list[list[int]] = []
rows: list[list[int]] = [[]]
own_step = BalancedBatches.step
own_iter = BalancedBatches.__iter__


def step(self: BalancedBatches) -> None:
    """The balancer's own, with a record."""
    shares.append(self.shares.tolist())
    own_step(self)


def iterate(self: BalancedBatches) -> Any:
    """The sampler's own, with a record."""
    rows.append([])
    for part in own_iter(self):
        rows[-1] += part
        yield part


def delay(module: nn.Module, inputs: Any, output: Any) -> None:
    """Each row of the first layer takes a rank its time."""
    if isinstance(module, nn.Conv2d) and module.in_channels == 1:
        slow = dist.get_rank() == (1 if len(shares) < 2 * PER_EPOCH else 0)
        time.sleep(len(output) * ROW_S * (SLOWER if slow else 1))


def gradient_error(script: dict[str, Any]) -> float:
    """Of the last update's shares: the sum over ranks against one process, relative L2 norm."""
    model, balancer = script["model"], script["balancer"]
    part = next(own_iter(balancer))
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, part)
    batch = parts[0] + parts[1]
    model.zero_grad()
    functional.cross_entropy(model(script["images"][part]), script["labels"][part]).backward()
    divided = torch.cat([p.grad.flatten() for p in model.parameters()]).double()
    model.module.zero_grad()
    functional.cross_entropy(model.module(script["images"][batch]),
                             script["labels"][batch]).backward()
    whole = torch.cat([p.grad.flatten() for p in model.module.parameters()]).double()
    return float((divided - whole).norm() / whole.norm())


if __name__ == "__main__":
    page = Path(sys.argv[1]).read_text("utf-8")
    code = re.findall(r"```python\n(.*?)```", page, flags=re.S)[0]
    BalancedBatches.step, BalancedBatches.__iter__ = step, iterate  # type: ignore[method-assign]
    torch.set_num_threads(1)
    nn.modules.module.register_module_forward_hook(delay)
    script: dict[str, Any] = {}
    exec(compile(code, sys.argv[1], "exec"), script)
    found: list[Any] = [None, None]
    dist.all_gather_object(found, [sorted(epoch) for epoch in rows[1:]])
    error = gradient_error(script)
    if dist.get_rank() == 0:
        whole = all(sorted(a + b) == list(range(4096)) for a, b in zip(*found, strict=True))
        print(json.dumps({"shares": shares, "gradient_error": error, "each_row_once": whole}))
    leave()
