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
from models.options import EncoderShape, ModelOptions
from models.record import ModelRecord
from models.recurrent import RECURRENT
from models.transformer import TRANSFORMER
from reviews.bundle import Bundle
from reviews.errors import UserError
from reviews.options import build, flatten, from_mapping, leaves, unread_among

RECORDS: dict[str, ModelRecord] = {
    "lstm": RECURRENT,
    "gru": RECURRENT,
    "bilstm-attention": ATTENTION,
    "cnn": CNN,
    "bag": BAG,
    "mlp": MLP,
    "transformer": TRANSFORMER,
}


def options_of(bundle: Bundle) -> ModelOptions:
    """Options of a bundle's model; UserError for a model that nobody knows."""
    where = f"{bundle.path}/model.json"
    options = from_mapping(ModelOptions, bundle.model.get("options", {}), where)
    if options.model not in RECORDS:
        raise UserError(f"{where}: this program knows no model {options.model!r}")
    read = {name: getattr(options, name) for name in own_options(options) if hasattr(options, name)}
    try:
        build(RECORDS[options.model].config, read)
    except UserError:  # it names an option of the command line
        raise UserError(f"{bundle.path}: the weights do not fit model.json") from None
    return options


def options_mapping(options: ModelOptions) -> dict[str, Any]:
    """The options as plain values for model.json, without those that the model does not read."""
    values = flatten(options)
    every = {leaf.name for record in RECORDS.values() for leaf in leaves(record.config)}
    own = own_options(options)
    if not options.shape.architecture:
        every |= {leaf.name for leaf in leaves(EncoderShape)}
    return {name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if (name in own or name not in every) and (name != "features" or value)}


def own_options(options: ModelOptions) -> list[str]:
    """Names of the options of its configuration that the model reads, in order."""
    config = RECORDS[options.model].config
    without_effect = unread_among(config, flatten(options))
    return [leaf.name for leaf in leaves(config) if leaf.name not in without_effect]


def check_shapes(bundle: Bundle, options: ModelOptions) -> None:
    """Raise UserError where the weights of a bundle are not those of its model."""
    shapes = {name: value.shape for name, value in bundle.weights.items()}
    # A number of layers may be any; the record would name them all.
    many = max(options.layers, options.shape.encoder_layers, len(options.widths)) > len(shapes)
    if many or shapes != RECORDS[options.model].tensors(options):
        raise UserError(f"{bundle.path}: the weights do not fit model.json")


def can_export() -> bool:
    """True where onnx is installed."""
    return importlib.util.find_spec("onnx") is not None


def onnx_file(
    options: ModelOptions, weights: Mapping[str, np.ndarray], int8: bool = False
) -> bytes:
    """The ONNX file of a model, in float32 or in 8 bits where its record has them.

    Raises ValueError where it would be larger than such a file can be.
    """
    graph = Int8Graph(weights) if int8 else Graph(weights)
    return graph.serialize(RECORDS[options.model].graph(graph, options))
