"""The model as one rank holds it under `--parallel fsdp`: its rows of all parameters, gradients
and optimizer state.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from models.rows import Rows
from mpi_train.backward import BackPropagation
from mpi_train.configuration.config import TrainingConfig
from mpi_train.data import Batch
from mpi_train.exchange.gradient_exchange import Reduction
from mpi_train.exchange.group import Group
from mpi_train.monitoring.phase_timer import PhaseTimer
from mpi_train.optimization.loss_scale import LossScale
from mpi_train.optimization.optimizers import make_optimizer, step_at
from mpi_train.replica import PRECISIONS, Tensors, copies
from mpi_train.sharding.predict_in_step import InStep
from mpi_train.sharding.sharded_gradients import ShardedGradients
from mpi_train.sharding.shards import nbytes, rows_of, shard

Array = np.ndarray


class ShardedReplica:
    """A shard of the model on each rank, with the interface of Replica.

    All ranks call each method in the same order, `arrays` and predictions too. A shard is some
    rows of each parameter (`rows_of`); optimizers work on it as if it were the whole.

    Attributes:
        model: the sharded model; `predicting` has it for predictions.
    """

    sharded = True

    def __init__(
        self, config: TrainingConfig, model: nn.Module, group: Group, device: torch.device,
        timer: PhaseTimer,
    ) -> None:
        self.model = model.to(device, PRECISIONS[config.run.precision])
        self._config, self._group, self._device = config, group, device
        for value in self.model.state_dict().values():
            group.broadcast_tensor(value)  # an encoder's weights, which rank 0 has read
        self._own = shard(self.model, group.mesh())
        self._sharded = dict(self.model.named_parameters())
        self._optimizer = make_optimizer(
            config.optimizer, config.schedule, config.network, self.model)
        own = {self._sharded[name]: parameter for name, parameter in self._own.items()}
        for parameters in self._optimizer.param_groups:
            parameters["params"] = [own[parameter] for parameter in parameters["params"]]
        self._gradients = ShardedGradients(self._sharded, self._own, group)
        self._backward = BackPropagation(config, self.model, self._gradients, device, timer)

    @property
    def parameters(self) -> int:
        """Numbers that are learned, over all ranks."""
        return sum(parameter.numel() for parameter in self._sharded.values()
                   if parameter.requires_grad)

    def shard_bytes(self) -> dict[str, int]:
        """Bytes of this rank's shards of parameters, gradients and optimizer state."""
        own = self._own.values()
        moments = (value for state in self._optimizer.state.values() for value in state.values())
        return {"parameters": nbytes(own),
                "gradients": nbytes(each.grad for each in own if each.grad is not None),
                "optimizer": nbytes(value for value in moments if isinstance(value, Tensor))}

    @property
    def loss_scale(self) -> LossScale:
        """Factor of the losses in the backward pass."""
        return self._backward.loss_scale

    @property
    def seconds(self) -> float:
        """Seconds of the last part's micro-batches, other ranks' gathers and sums included."""
        return self._backward.seconds

    def back_propagate(
        self, batch: Batch, part: tuple[int, int], place: tuple[int, int],
        interrupted: Callable[[], bool] | None = None,
    ) -> float | None:
        """Gradient of a part of a batch; its summed loss (`BackPropagation.run`)."""
        assert interrupted is None, "no rank is parked"
        rounds = int(self._group.all_gather([self._backward.count(batch, part)]).max())
        return self._backward.run(batch, part, place, rounds=rounds)

    def reduce(self, ratios: Array) -> Reduction:
        """The summed gradients, as those of the own shards."""
        return self._gradients.finish(ratios, 1 / self.loss_scale.value)

    def step(self, rate: float) -> None:
        """Update this rank's rows from the summed gradient at a learning rate."""
        if self._config.optimizer.clip_norm:
            self._gradients.clip(self._config.optimizer.clip_norm)
        step_at(self._optimizer, rate)

    def average(self, step: int) -> None:
        """Nothing: `--keep average` is refused."""

    def broadcast_average(self) -> None:
        """Nothing: `--keep average` is refused."""

    def broadcast(self) -> None:
        """Nothing: each rank has the rows that are its own from the start, or from a checkpoint."""

    @contextmanager
    def predicting(
        self, blocks: Iterable[tuple[int, Rows]]
    ) -> Iterator[tuple[nn.Module, Iterable[tuple[int, Rows]]]]:
        """A model for predictions of this rank's blocks, and the blocks to predict with it."""
        options = self.model.options
        example = [torch.full((1, 1), options.unknown, dtype=torch.int32), torch.ones(1).long()]
        if options.features:
            example.append(torch.zeros(1, options.features))
        model = InStep(self.model, self._group, [value.to(self._device) for value in example])
        yield model, model.through(blocks)

    def full_state(self) -> dict[str, Tensors]:
        """Copies on the CPU of this rank's rows of weights and optimizer state, named as those of
        Replica; numbers alone, which all ranks have, on rank 0."""
        moments = {
            f"{name}/{key}": value
            for name, own in self._own.items()
            for key, value in self._optimizer.state[own].items()
            if isinstance(value, Tensor) and (value.ndim or self._group.rank == 0)
        }
        return {"weights": copies(self._own), "optimizer": copies(moments), "average": {}}

    @torch.no_grad()
    def load(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Put this rank's rows of whole tensors, named as those of `Replica.full_state`, in
        place."""
        for name, own in self._own.items():
            own.copy_(self._rows(state["weights"][name]))
        for name, value in state["optimizer"].items():
            parameter, key = name.rsplit("/", 1)
            own = self._own[parameter]
            self._optimizer.state[own][key] = self._rows(value).to(own.device, copy=True)

    def _rows(self, value: Tensor) -> Tensor:
        if not value.ndim:
            return value
        first, last = rows_of(len(value), self._group.rank, self._group.size)
        return value[first:last]

    def arrays(self) -> dict[str, Array]:
        """On rank 0 the whole weights as arrays by name, one gathered after the other; nothing on
        other ranks."""
        found = {}
        for name, parameter in self._sharded.items():
            value = parameter.detach()
            assert isinstance(value, DTensor)
            whole = value.full_tensor()
            if self._group.rank == 0:
                found[name] = whole.cpu().numpy()
        return found
