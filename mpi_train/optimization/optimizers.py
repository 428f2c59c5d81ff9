"""Optimizers: gradients to updates of the parameters."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from models.nets.bag import Table
from models.nets.transformer import Transformer
from models.options import ModelConfig, NgramsBeside
from models.transformer import TransformerConfig
from mpi_train.configuration.groups import OptimizerOptions, ScheduleOptions

# Parameters, or groups of them with values of their own.
Parameters = Iterable[nn.Parameter] | list[dict[str, Any]]

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)


def eager(kind: type[Kind]) -> type[Kind]:
    """An optimizer of torch without its calls into torch.compile, whose import alone takes
    almost as long as the start of a training."""
    return type(kind.__name__, (kind,), {
        "add_param_group": inspect.unwrap(kind.add_param_group),
        "step": torch.no_grad()(inspect.unwrap(kind.step)),
    })


class ByParameter(torch.optim.Optimizer):
    """Optimizer that updates each parameter by itself."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)  # as in `eager`

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        """Update one parameter from its gradient, with the values of its group."""
        raise NotImplementedError


class Adagrad(ByParameter):
    """Adagrad (Duchi et al. 2011); a sparse gradient's rows share one sum of squares each.

    With a sum for each row (Naumov et al. 2019) the state of a table of D columns is D times
    smaller. Only the rows of the gradient are read and written.
    """

    def __init__(self, parameters: Parameters, lr: float, eps: float) -> None:
        super().__init__(parameters, {"lr": lr, "eps": eps})

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        rate, eps = group["lr"], group["eps"]
        assert gradient is not None
        if "sum" not in state:
            like = parameter[:, 0] if gradient.is_sparse else parameter
            state["sum"] = torch.zeros_like(like, memory_format=torch.contiguous_format)
        if not gradient.is_sparse:
            state["sum"].addcmul_(gradient, gradient)
            parameter.addcdiv_(gradient, state["sum"].sqrt().add_(eps), value=-rate)
            return
        rows, values = gradient._indices()[0], gradient._values()  # unique rows (k,), (k, D)
        sums = state["sum"].index_select(0, rows) + values.square().mean(1)  # (k,)
        state["sum"].index_copy_(0, rows, sums)
        scale = rate / (sums.sqrt() + eps)
        changed = parameter.index_select(0, rows) - values * scale[:, None]
        parameter.index_copy_(0, rows, changed)


class Lamb(ByParameter):
    """LAMB (You et al. 2020): Adam's step, for each tensor as long as its rate times the norm of
    the tensor, for large batches.

    A step whose tensor or direction is 0 has the length that Adam's has. The norms are of whole
    tensors and of the whole batch's gradient, and do not depend on how it was divided.
    """

    def __init__(
        self, parameters: Parameters, lr: float, betas: tuple[float, float], eps: float,
        weight_decay: float,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps,
                                      "weight_decay": weight_decay})

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient, state, (first, second) = parameter.grad, self.state[parameter], group["betas"]
        assert gradient is not None
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = (torch.zeros_like(parameter) for _ in range(2))
        state["step"] += 1
        steps = int(state["step"])
        mean = state["exp_avg"].lerp_(gradient, 1 - first)
        square = state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        scale = (square / (1 - second**steps)).sqrt_().add_(group["eps"])
        direction = (mean / (1 - first**steps)).div_(scale).add_(
            parameter, alpha=group["weight_decay"])
        of_weights, of_direction = parameter.norm(), direction.norm()
        ratio = torch.where((of_weights > 0) & (of_direction > 0), of_weights / of_direction, 1.0)
        parameter.sub_(direction.mul_(ratio), alpha=group["lr"])


class OptimizerGroup:
    """Several optimizers with parameters of their own, as one."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self._parts = parts
        self.param_groups = [group for part in parts for group in part.param_groups]
        self.state = parts[0].state
        for part in parts[1:]:
            part.state = self.state

    def step(self) -> None:
        """Update every parameter."""
        for part in self._parts:
            part.step()


def make_optimizer(
    options: OptimizerOptions, schedule: ScheduleOptions, network: ModelConfig, model: nn.Module
) -> torch.optim.Optimizer | OptimizerGroup:
    """The optimizer; on dense parameters, one fused kernel over all of them.

    The n-grams of a recurrent model learn by Adagrad, whatever the rest learns by: their rate
    goes up and down with that of the rest.
    """
    rate = schedule.learning_rate
    if isinstance(network, TransformerConfig):
        assert isinstance(model, Transformer)
        groups = model.parameter_groups(options.weight_decay, network.layer_decay)
        return _optimizer(options, rate, groups, fused=True)
    tables = [module.weight for module in model.modules() if isinstance(module, Table)]
    if not tables or not isinstance(network, NgramsBeside):
        return _optimizer(options, rate, model.parameters(), fused=not tables)
    rest = [parameter for parameter in model.parameters()
            if all(parameter is not table for table in tables)]
    rows = Adagrad(tables, network.ngram_rate, options.eps)
    for group in rows.param_groups:
        group["scale"] = network.ngram_rate / rate
    return OptimizerGroup(_optimizer(options, rate, rest, fused=True), rows)


def _optimizer(
    options: OptimizerOptions, rate: float, parameters: Parameters, fused: bool
) -> torch.optim.Optimizer:
    """torch's SGD keeps its velocity free of the learning rate, so that a rate that changes from
    update to update needs no correction of the momentum (Goyal et al. 2017, section 3).
    """
    if options.optimizer == "adagrad":
        return Adagrad(parameters, rate, options.eps)
    if options.optimizer == "sgd":
        # torch's fused kernel takes no sparse gradients.
        return eager(torch.optim.SGD)(parameters, rate, options.momentum, fused=fused,
                                      weight_decay=options.weight_decay)
    first, second = options.betas
    if options.optimizer == "lamb":
        return Lamb(parameters, rate, (first, second), options.eps, options.weight_decay)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[options.optimizer]
    return eager(kind)(
        parameters, rate, (first, second), options.eps, options.weight_decay, fused=True)


def step_at(optimizer: torch.optim.Optimizer | OptimizerGroup, rate: float) -> None:
    """Update the parameters at a learning rate, of which a group has its `scale`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)
    optimizer.step()
