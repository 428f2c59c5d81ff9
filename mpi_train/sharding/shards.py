"""Shards of parameters: which rows a rank holds, and torch's FSDP2 with sums in place of means."""

import warnings
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor


def rows_of(rows: int, rank: int, ranks: int) -> tuple[int, int]:
    """First and last row (exclusive) of a rank's shard of a tensor of so many rows.

    All shards but the last ones have as many rows; where there are few, some ranks have none.
    """
    most = -(-rows // ranks)
    return min(rank * most, rows), min((rank + 1) * most, rows)


def shard(model: nn.Module, mesh: DeviceMesh) -> dict[str, nn.Parameter]:
    """Shard a model, the same on all ranks, over a mesh; parameters by name, which share the memory
    of this rank's rows.

    A unit's parameters are gathered before its forward and its backward pass, and are dropped
    behind it. Their gradients are summed, each rank gets its own rows.
    """
    # Outputs that are views are only read.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module")
    for unit in [*units(model), model]:
        fully_shard(unit, mesh=mesh, reshard_after_forward=True)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            # The loss is divided by the whole batch: gradients are sums. gloo would divide by the
            # ranks all the same without the second line.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    return {name: _own_rows(name, parameter, mesh)
            for name, parameter in model.named_parameters()}


def _own_rows(name: str, parameter: nn.Parameter, mesh: DeviceMesh) -> nn.Parameter:
    """This rank's rows of a sharded parameter; RuntimeError where it holds others."""
    first, last = rows_of(len(parameter), mesh.get_local_rank(), mesh.size())
    own = parameter.detach()
    if not isinstance(own, DTensor) or len(own.to_local()) != last - first:
        raise RuntimeError(f"{name} is not sharded: this torch keeps it whole on each rank")
    return nn.Parameter(own.to_local(), parameter.requires_grad)


def units(model: nn.Module) -> list[nn.Module]:
    """Modules whose parameters are gathered at once: the layers of lists, and what is in none."""
    found = []
    for child in model.children():
        if any(isinstance(module, nn.ModuleList) for module in child.modules()):
            found += units(child)
        elif any(True for _ in child.parameters()):
            found.append(child)
    return found


def nbytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of some tensors together."""
    return sum(tensor.nbytes for tensor in tensors)


def local_gradient(parameter: nn.Parameter, like: Tensor) -> Tensor:
    """This rank's rows of a sharded parameter's summed gradient; zeros where it has none."""
    gradient = parameter.grad
    if gradient is None:
        return torch.zeros_like(like)
    assert isinstance(gradient, DTensor)
    return gradient.to_local()
