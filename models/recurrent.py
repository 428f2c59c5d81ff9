"""LSTM and GRU over the words, pooled over the real length: options, tensors and ONNX graph."""

from dataclasses import dataclass

import numpy as np

from models.graphs.graph import Graph
from models.ngrams import mean_with_view, view_tensors
from models.options import LayersOverWords, ModelOptions, NgramsBeside, WordVectors
from models.record import ModelRecord, Shapes
from reviews.options import Search, option

_GATES = {"LSTM": 4, "GRU": 3}
# Where each gate of ONNX's order (LSTM: i o f c, GRU: z r h) stands in torch's (i f g o; r z n).
_ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}


@dataclass(frozen=True)
class RecurrentLayers(LayersOverWords):
    """Recurrent layers and what becomes of their outputs."""

    bidirectional: bool = option(
        False, "read every review in both directions", fixed=True, search=Search((False, True)))
    pooling: str = option(
        "mean+max", "pooling of a review's outputs into one vector", ("last", "max", "mean+max"),
        fixed=True, search=Search(("last", "max", "mean+max")))


@dataclass(frozen=True)
class RecurrentConfig(WordVectors, NgramsBeside, RecurrentLayers):
    """Options of lstm and gru."""


def layer_tensors(options: ModelOptions[LayersOverWords], cell: str, directions: int) -> Shapes:
    """Shapes of the embedding and of all layers."""
    config = options.network
    hidden, rows = config.hidden_dim, _GATES[cell] * config.hidden_dim
    shapes: Shapes = {"embedding.weight": (options.vocabulary_size, config.embedding_dim)}
    for layer in range(config.layers):
        inputs = config.embedding_dim if layer == 0 else hidden * directions
        for direction in range(directions):
            name = f"layers.{layer}.{direction}"
            shapes |= {f"{name}.weight_ih_l0": (rows, inputs),
                       f"{name}.weight_hh_l0": (rows, hidden),
                       f"{name}.bias_ih_l0": (rows,), f"{name}.bias_hh_l0": (rows,)}
    return shapes


def layers(
    graph: Graph, x: str, options: ModelOptions[LayersOverWords], cell: str, directions: int
) -> tuple[str, str]:
    """Word vectors (T, n, E) to the last layer's outputs Y (T, D, n, H), which are 0 behind a
    review's end, and its last states (D, n, H): those of the second direction at word 0."""
    config = options.network
    outputs = states = ""
    for layer in range(config.layers):
        if layer:
            x = words_last(graph, outputs, directions * config.hidden_dim)
        outputs, states = graph.recurrent(cell, x, *_weights(graph, layer, cell, directions))
    return outputs, states


def words_last(graph: Graph, outputs: str, width: int) -> str:
    """Outputs (T, D, n, H) as (T, n, D H)."""
    turned = graph.node("Transpose", outputs, perm=[0, 2, 1, 3])
    return graph.node("Reshape", turned, graph.integers(0, 0, width))


def _weights(graph: Graph, layer: int, cell: str, directions: int) -> list[np.ndarray]:
    """W (D, G H, E), R (D, G H, H) and B (D, 2 G H) of a layer."""
    order = list(_ORDER[cell])

    def part(direction: int, name: str) -> np.ndarray:
        value = graph.weights[f"layers.{layer}.{direction}.{name}_l0"]
        gates = value.reshape(len(order), -1, *value.shape[1:])
        return gates[order].reshape(value.shape)

    both = range(directions)
    bias = [np.concatenate([part(d, "bias_ih"), part(d, "bias_hh")]) for d in both]
    return [np.stack([part(d, "weight_ih") for d in both]),
            np.stack([part(d, "weight_hh") for d in both]), np.stack(bias)]


def _tensors(options: ModelOptions[RecurrentConfig]) -> Shapes:
    config = options.network
    directions = 2 if config.bidirectional else 1
    width = config.hidden_dim * directions * (2 if config.pooling == "mean+max" else 1)
    return {
        **layer_tensors(options, options.model.upper(), directions),
        "output.weight": (options.outputs, width), "output.bias": (options.outputs,),
        **view_tensors(options),
    }


def _graph(graph: Graph, options: ModelOptions[RecurrentConfig]) -> str:
    directions = 2 if options.network.bidirectional else 1
    outputs, states = layers(
        graph, graph.word_vectors(), options, options.model.upper(), directions)
    pooled = _pool(graph, outputs, states, options)
    return mean_with_view(graph, graph.linear(pooled, "output"), options)


def _pool(graph: Graph, outputs: str, states: str, options: ModelOptions[RecurrentConfig]) -> str:
    """Outputs (T, D, n, H) and last states to (n, D H) or, for mean+max, (n, 2 D H)."""
    config = options.network
    width = config.hidden_dim * (2 if config.bidirectional else 1)

    def flat(x: str) -> str:
        """(D, n, H) as (n, D H)."""
        return graph.node("Reshape", graph.node("Transpose", x, perm=[1, 0, 2]),
                          graph.integers(0, width))

    if config.pooling == "last":
        return flat(states)
    outside = graph.node("Where", graph.inside(), graph.constant(0), graph.constant(-np.inf))
    masked = graph.node(
        "Add", outputs, graph.node("Unsqueeze", outside, graph.integers(1, 3)))  # (T, 1, n, 1)
    highest = flat(graph.node("ReduceMax", masked, graph.integers(0), keepdims=0))
    if config.pooling == "max":
        return highest
    total = flat(graph.node("ReduceSum", outputs, graph.integers(0), keepdims=0))
    counts = graph.node("Unsqueeze", graph.node("Cast", graph.input("lengths"), to=1),
                        graph.integers(1))
    return graph.node("Concat", graph.node("Div", total, counts), highest, axis=1)


RECURRENT = ModelRecord(RecurrentConfig, _tensors, _graph, int8=True)
