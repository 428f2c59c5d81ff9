"""The models by name, without torch, and what a bundle says of its own."""

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np

from models.attention import ATTENTION
from models.bag import BAG
from models.cnn import CNN
from models.graphs.graph import Graph
from models.graphs.int8 import Int8Graph
from models.mlp import MLP
from models.options import InputsAndOutputs, ModelConfig, ModelOptions
from models.record import ModelRecord
from models.recurrent import RECURRENT
from models.transformer import TRANSFORMER
from reviews.bundle import Bundle
from reviews.errors import UserError
from reviews.options import Leaf, build, checked_values, flatten, leaves, unread

RECORDS: dict[str, ModelRecord] = {
    "lstm": RECURRENT,
    "gru": RECURRENT,
    "bilstm-attention": ATTENTION,
    "cnn": CNN,
    "bag": BAG,
    "mlp": MLP,
    "transformer": TRANSFORMER,
}

_DEEPEST = 10_000  # layers of a bundle's model: any number may stand in a file


def make_options(model: str, **values: Any) -> ModelOptions[Any]:
    """Options of a model from their values by name, over the defaults of its record."""
    sizes = {leaf.name: values.pop(leaf.name) for leaf in leaves(InputsAndOutputs)
             if leaf.name in values}
    return ModelOptions(model=model, network=build(RECORDS[model].network, values), **sizes)


def options_of(bundle: Bundle) -> ModelOptions[Any]:
    """Options of a bundle's model.

    Raises UserError for a model that nobody knows, and for options that it cannot have.
    """
    where, values = f"{bundle.path}/model.json", dict(bundle.model["options"])
    if "model" not in values:
        raise UserError(f"{where} has no model")
    model = values.pop("model")
    if not isinstance(model, str) or model not in RECORDS:
        raise UserError(f"{where}: this program knows no model {model!r}")
    own = _kept(RECORDS[model].network)
    values = checked_values((*leaves(InputsAndOutputs), *own), values, where)
    try:
        options = make_options(model, **values)
    except UserError:  # it names an option of the command line
        raise _unfit(bundle) from None
    if options.network.depth > _DEEPEST:
        raise _unfit(bundle)
    without = [leaf.name for leaf in own if leaf.name not in {*values, *unread(options.network)}
               and not (leaf.option and leaf.option.later)]
    if without:
        raise UserError(f"{where} has no {without[0]}")
    return options


def options_mapping(options: ModelOptions[Any]) -> dict[str, Any]:
    """The options as plain values for model.json, without those that the model does not read."""
    network = options.network
    names = {leaf.name for leaf in _kept(type(network))} - unread(network)
    sizes = {leaf.name: getattr(options, leaf.name) for leaf in leaves(InputsAndOutputs)}
    if not options.features:
        del sizes["features"]
    own = {name: list(value) if isinstance(value, tuple) else value
           for name, value in flatten(network).items() if name in names}
    return {"model": options.model, **sizes, **own}


def _kept(network: type[ModelConfig]) -> list[Leaf]:
    """The options of a model that model.json has."""
    return [leaf for leaf in leaves(network) if not (leaf.option and leaf.option.training_only)]


def check_shapes(bundle: Bundle, options: ModelOptions[Any]) -> None:
    """Raise UserError where the weights of a bundle are not those of its model."""
    shapes = {name: value.shape for name, value in bundle.weights.items()}
    if shapes != RECORDS[options.model].tensors(options):
        raise _unfit(bundle)


def _unfit(bundle: Bundle) -> UserError:
    return UserError(f"{bundle.path}: the weights do not fit model.json")


def can_export() -> bool:
    """True where onnx is installed."""
    return importlib.util.find_spec("onnx") is not None


def onnx_file(
    options: ModelOptions[Any], weights: Mapping[str, np.ndarray], int8: bool = False
) -> bytes:
    """The ONNX file of a model, in float32 or in 8 bits where its record has them.

    Raises ValueError where it would be larger than such a file can be.
    """
    graph = Int8Graph(weights) if int8 else Graph(weights)
    return graph.serialize(RECORDS[options.model].graph(graph, options))
