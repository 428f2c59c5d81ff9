"""Layers over the numbers beside the text and its n-grams: options, tensors and ONNX graph."""

from dataclasses import dataclass

from models.graphs.graph import Graph
from models.ngrams import mean_of_rows, table_shape
from models.options import HiddenLayers, ModelOptions, NgramsBeside
from models.record import ModelRecord, Shapes
from reviews.options import with_default


@dataclass(frozen=True)
class MlpConfig(NgramsBeside, HiddenLayers):
    """Options of mlp."""

    layers: int = with_default(HiddenLayers, "layers", 2)


def _tensors(options: ModelOptions[MlpConfig]) -> Shapes:
    config = options.network
    shapes: Shapes = {}
    inputs = options.features
    if config.ngrams:
        shapes["table.weight"] = table_shape(options, config.ngram_dim)
        inputs += config.ngram_dim
    for number in range(config.layers):
        shapes |= {f"layers.{number}.weight": (config.hidden_dim, inputs),
                   f"layers.{number}.bias": (config.hidden_dim,)}
        inputs = config.hidden_dim
    return {**shapes, "output.weight": (options.outputs, inputs),
            "output.bias": (options.outputs,)}


def _graph(graph: Graph, options: ModelOptions[MlpConfig]) -> str:
    config = options.network
    x = graph.input("features")
    if config.ngrams:
        text = mean_of_rows(graph, graph.weights["table.weight"])
        x = graph.node("Concat", x, text, axis=1)
    for number in range(config.layers):
        x = graph.node("Relu", graph.linear(x, f"layers.{number}"))
    return graph.linear(x, "output")


MLP = ModelRecord(MlpConfig, _tensors, _graph, training={"micro_batch_tokens": 1 << 18},
                  reads_features=True)
