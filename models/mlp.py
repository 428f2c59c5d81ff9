"""Layers over the numbers beside the text and its n-grams: options, tensors and ONNX graph."""

from dataclasses import dataclass

from models.graphs.graph import Graph
from models.ngrams import mean_of_rows, table_shape
from models.options import HiddenLayers, ModelOptions, NgramView
from models.record import ModelRecord, Shapes
from reviews.options import with_default


@dataclass(frozen=True)
class MlpConfig(NgramView, HiddenLayers):
    """Options of mlp."""

    layers: int = with_default(HiddenLayers, "layers", 2)


def _tensors(options: ModelOptions) -> Shapes:
    shapes: Shapes = {}
    inputs = options.features
    if options.ngrams:
        shapes["table.weight"] = table_shape(options, options.ngram_dim)
        inputs += options.ngram_dim
    for number in range(options.layers):
        shapes |= {f"layers.{number}.weight": (options.hidden_dim, inputs),
                   f"layers.{number}.bias": (options.hidden_dim,)}
        inputs = options.hidden_dim
    return {**shapes, "output.weight": (options.outputs, inputs),
            "output.bias": (options.outputs,)}


def _graph(graph: Graph, options: ModelOptions) -> str:
    x = graph.input("features")
    if options.ngrams:
        text = mean_of_rows(graph, graph.weights["table.weight"])
        x = graph.node("Concat", x, text, axis=1)
    for number in range(options.layers):
        x = graph.node("Relu", graph.linear(x, f"layers.{number}"))
    return graph.linear(x, "output")


MLP = ModelRecord(MlpConfig, _tensors, _graph, training={"micro_batch_tokens": 1 << 18},
                  reads_features=True)
