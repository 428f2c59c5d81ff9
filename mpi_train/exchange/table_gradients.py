"""Gradients of a bag's tables: the rows that an update touched, and nothing else."""

import torch
from torch import Tensor, nn

from models.nets.bag import Table, sum_rows
from mpi_train.exchange.group import Group


class TableGradients:
    """Exchanged when the rows are known, at the end of an update."""

    def __init__(self, model: nn.Module, group: Group) -> None:
        self._group = group
        self._tables = [module for module in model.modules() if isinstance(module, Table)]
        self.weights = {table.weight for table in self._tables}

    def clear(self) -> None:
        """Begin an update."""
        for table in self._tables:
            table.parts.clear()

    def finish(self) -> None:
        """Sum the rows of all micro-batches and ranks: each `.grad` is a coalesced sparse one."""
        for table in self._tables:
            weight = table.weight
            rows, values = _merge(table.parts, weight)
            if self._group.size > 1:
                every_row = self._group.all_gather_v(rows)
                every_value = self._group.all_gather_v(values)
                rows, values = _merge(list(zip(every_row, every_value, strict=True)), weight)
            weight.grad = torch.sparse_coo_tensor(
                rows[None], values, weight.shape, is_coalesced=True, check_invariants=False)

    def own_values(self) -> list[Tensor]:
        """Numbers of this rank's gradients so far, (k, D) of each table."""
        return [_merge(table.parts, table.weight)[1] for table in self._tables]

    def values(self) -> list[Tensor]:
        """The finished gradients' numbers, (k, D) of each table."""
        return [weight.grad._values() for weight in self.weights if weight.grad is not None]


def _merge(parts: list[tuple[Tensor, Tensor]], weight: Tensor) -> tuple[Tensor, Tensor]:
    """Unique rows (k,) and their values (k, D) of parts that each have unique rows."""
    if len(parts) == 1:
        return parts[0]
    nothing = (torch.zeros(0, dtype=torch.int64, device=weight.device), weight.new_zeros(
        0, weight.shape[1]))
    rows, values = (torch.cat(column) for column in zip(nothing, *parts, strict=True))
    return sum_rows(rows, torch.arange(len(rows), device=rows.device), values)
