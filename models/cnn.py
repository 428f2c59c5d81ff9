"""Convolutions of several widths and the maximum of each: tensors and ONNX graph."""

from models.graph import Graph
from models.options import ModelOptions
from models.record import ModelRecord, Shapes


def _tensors(options: ModelOptions) -> Shapes:
    shapes: Shapes = {"embedding.weight": (options.vocabulary_size, options.embedding_dim)}
    for number, width in enumerate(options.widths):
        name = f"convolutions.{number}"
        shapes |= {f"{name}.weight": (options.filters, options.embedding_dim, width),
                   f"{name}.bias": (options.filters,)}
    features = options.filters * len(options.widths)
    return {**shapes, "output.weight": (options.outputs, features),
            "output.bias": (options.outputs,)}


def _graph(graph: Graph, options: ModelOptions) -> str:
    inside = graph.inside()
    zero = graph.constant(0)
    vectors = graph.node("Where", graph.node("Unsqueeze", inside, graph.integers(2)),
                         graph.word_vectors(), zero)
    x = graph.node("Transpose", vectors, perm=[1, 2, 0])  # (n, E, T)
    turned = graph.node("Transpose", inside, perm=[1, 0])
    of_review = graph.node("Unsqueeze", turned, graph.integers(1))  # (n, 1, T)
    highest = []
    for number, width in enumerate(options.widths):
        name = f"convolutions.{number}"
        found = graph.node(
            "Conv", x, graph.constant(graph.weights[f"{name}.weight"]),
            graph.constant(graph.weights[f"{name}.bias"]), kernel_shape=[width],
            pads=[(width - 1) // 2, width // 2])
        found = graph.node("Where", of_review, graph.node("Relu", found), zero)
        highest.append(graph.node("ReduceMax", found, graph.integers(2), keepdims=0))
    return graph.linear(graph.node("Concat", *highest, axis=1), "output")


CNN = ModelRecord(_tensors, _graph)
