"""The model as one rank holds it: whole, with its optimizer, its average and its gradients."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.encoder_folder import WEIGHTS
from models.nets import build
from models.nets.embedding import Embedding
from models.nets.transformer import Transformer
from models.options import ModelOptions
from models.rows import Rows
from models.transformer import TransformerConfig
from mpi_train.backward import BackPropagation
from mpi_train.configuration.config import TrainingConfig
from mpi_train.data import Batch
from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.gradient_buckets import gradients_of
from mpi_train.exchange.gradient_exchange import Reduction
from mpi_train.exchange.group import Group
from mpi_train.monitoring.phase_timer import PhaseTimer
from mpi_train.optimization.ema import EMA
from mpi_train.optimization.loss_scale import LossScale
from mpi_train.optimization.noise_scale import RowSample
from mpi_train.optimization.optimizers import make_optimizer, step_at
from mpi_train.pipelining.pipelined_backward import PipelinedBackPropagation
from reviews.store import Store

Array = np.ndarray
Tensors = dict[str, Tensor]

# Type of the weights; bf16 and fp16 are for the layers alone (`mpi_train.backward`).
PRECISIONS = {"fp32": torch.float32, "fp64": torch.float64, "bf16": torch.float32,
              "fp16": torch.float32}


def new_model(
    config: TrainingConfig, options: ModelOptions[Any], store: Store, communicator: Communicator
) -> nn.Module:
    """The model before its first update, the same on every rank but for the weights of an encoder,
    which rank 0 reads and broadcasts with its state."""
    torch.manual_seed(config.run.seed)
    model = build(options)
    if words := config.vectors:
        assert isinstance(model.embedding, Embedding)
        model.embedding.begin_with(torch.from_numpy(store.vectors()), words.freeze_vectors)
    if isinstance(config.network, TransformerConfig):
        assert isinstance(model, Transformer)
        _begin_encoder(model, config.network, communicator)
    return model


def _begin_encoder(
    model: Transformer, network: TransformerConfig, communicator: Communicator
) -> None:
    """Give a model the weights of its encoder, and say what of it learns."""
    communicator.from_root(lambda: model.begin_with(Path(network.encoder, WEIGHTS)))
    if network.train_layers:
        model.train_last(network.train_layers)
    if network.activation_checkpointing:
        model.keep_no_activations()


class Replica:
    """A whole copy of the model on each rank.

    The one place that knows that a rank holds all parameters, all of the optimizer's state and
    all gradients: training, checkpoints and bundles ask it. The other way to hold a model is
    `mpi_train.sharding.sharded_replica`.

    Attributes:
        model: the model; `predicting` has it for predictions.
        sharded: False: rank 0 alone writes checkpoints and bundles.
    """

    sharded = False

    def __init__(
        self, config: TrainingConfig, model: nn.Module, group: Group, device: torch.device,
        timer: PhaseTimer,
    ) -> None:
        self.model = model.to(device, PRECISIONS[config.run.precision])
        self._config, self._group = config, group
        self._optimizer = make_optimizer(
            config.optimizer, config.schedule, config.network, self.model)
        averaged = config.keep.keep == "average"
        self._average = EMA(self.model, config.keep.average_decay) if averaged else None
        self._gradients = gradients_of(self.model, group, config.exchange.exchange)
        pipelined = config.exchange.parallel == "model"
        kind = PipelinedBackPropagation if pipelined else BackPropagation
        self._backward = kind(config, self.model, self._gradients, device, timer)

    @property
    def parameters(self) -> int:
        """Numbers that are learned."""
        return sum(parameter.numel() for parameter in self.model.parameters()
                   if parameter.requires_grad)

    @property
    def loss_scale(self) -> LossScale:
        """Factor of the losses in the backward pass."""
        return self._backward.loss_scale

    @property
    def seconds(self) -> float:
        """Seconds of the last part's micro-batches."""
        return self._backward.seconds

    def shard_bytes(self) -> dict[str, int]:
        """Bytes of this rank's shards: there are none."""
        return {}

    def back_propagate(
        self, batch: Batch, part: tuple[int, int], place: tuple[int, int],
        interrupted: Callable[[], bool] | None = None,
    ) -> float | None:
        """Gradient of a part of a batch; its summed loss (`BackPropagation.run`)."""
        return self._backward.run(batch, part, place, interrupted)

    def sampled_square(
        self, batch: Batch, sample: RowSample, place: tuple[int, int]
    ) -> float:
        """Squared norm of the signed sum over sampled reviews (`BackPropagation.add_signed`)."""
        self._backward.add_signed(batch, sample, place)
        return self._gradients.own_square() / self.loss_scale.value**2

    def square(self) -> float:
        """Squared norm of the summed gradient."""
        return self._gradients.square()

    def reduce(self, ratios: Array) -> Reduction:
        """Sum the gradients over the group, whose ranks did (R,) parts of the update."""
        return self._gradients.finish(ratios, 1 / self.loss_scale.value)

    def step(self, rate: float) -> None:
        """Update the parameters from the summed gradient at a learning rate."""
        if self._config.optimizer.clip_norm:
            self._gradients.clip(self._config.optimizer.clip_norm)
        step_at(self._optimizer, rate)

    def average(self, step: int) -> None:
        """Take the weights after update `step`, counted from 1, into their average."""
        if self._average is not None:
            self._average.update(step)

    @contextmanager
    def predicting(
        self, blocks: Iterable[tuple[int, Rows]]
    ) -> Iterator[tuple[nn.Module, Iterable[tuple[int, Rows]]]]:
        """The model for predictions of this rank's blocks, and the blocks to predict with it.

        Inside, its weights are the averages, where the run keeps any.
        """
        if self._average is None:
            yield self.model, blocks
        else:
            with self._average.in_place():
                yield self.model, blocks

    def broadcast(self) -> None:
        """Broadcast parameters, optimizer state and loss scale from rank 0 to the group."""
        if scale := self.loss_scale.state():
            numbers = np.array([*scale.values()], np.float64)
            value, finite, overflows = self._group.broadcast(numbers).tolist()
            self.loss_scale.restore(value, int(finite), int(overflows))
        for parameter in self.model.parameters():
            moments = self._optimizer.state[parameter]
            self._broadcast([parameter, *(moments[name] for name in sorted(moments))])

    def broadcast_average(self) -> None:
        """Broadcast the averages from rank 0 to the group."""
        if self._average is not None:
            self._broadcast(self._average.weights.values())

    def _broadcast(self, values: Iterable[object]) -> None:
        for value in values:
            if isinstance(value, Tensor):
                self._group.broadcast_tensor(value)

    def full_state(self) -> dict[str, Tensors]:
        """Copies on the CPU of the weights, the optimizer's state ("<parameter>/<key>") and the
        average (empty where none is kept)."""
        moments = {
            f"{name}/{key}": value
            for name, parameter in self.model.named_parameters()
            for key, value in self._optimizer.state[parameter].items()
            if isinstance(value, Tensor)
        }
        averages = self._average.weights if self._average else {}
        return {"weights": copies(self.model.state_dict()), "optimizer": copies(moments),
                "average": copies(averages)}

    def load(self, state: Mapping[str, Tensors]) -> None:
        """Put what `full_state` gave in place."""
        weights, moments, averages = state["weights"], state["optimizer"], state["average"]
        self.model.load_state_dict(weights)
        parameters = dict(self.model.named_parameters())
        for name, value in moments.items():
            parameter, key = name.rsplit("/", 1)
            owner = parameters[parameter]
            # Adam's number of steps, too: a fused kernel reads it on the device.
            self._optimizer.state[owner][key] = value.to(owner.device)
        if self._average is not None:
            # An average that begins later begins with the weights as they are now.
            for name, average in self._average.weights.items():
                average.copy_(averages.get(name, weights[name]))

    def arrays(self) -> dict[str, Array]:
        """The weights, or inside `predicting` their averages, as arrays by name."""
        return {name: value.detach().cpu().numpy()
                for name, value in self.model.state_dict().items()}


def copies(tensors: Mapping[str, Tensor]) -> Tensors:
    """Copies of tensors by name, on the CPU."""
    return {name: value.detach().to("cpu", copy=True).contiguous()
            for name, value in tensors.items()}
