"""LSTM in both directions, pooled by attention: tensors and ONNX graph."""

import numpy as np

from models.graph import Graph
from models.ngrams import mean_with_view, view_tensors
from models.options import ModelOptions
from models.record import ModelRecord, Shapes
from models.recurrent import layer_tensors, layers, words_last


def _tensors(options: ModelOptions) -> Shapes:
    width = 2 * options.hidden_dim
    return {
        **layer_tensors(options, "LSTM", 2),
        "attention.weight": (width, width), "attention.bias": (width,), "context": (width,),
        "output.weight": (options.outputs, width), "output.bias": (options.outputs,),
        **view_tensors(options),
    }


def _graph(graph: Graph, options: ModelOptions) -> str:
    outputs, _ = layers(graph, graph.word_vectors(), options, "LSTM", 2)
    x = words_last(graph, outputs, 2 * options.hidden_dim)  # (T, n, 2 H)
    hidden = graph.node("MatMul", x, graph.constant(graph.weights["attention.weight"].T))
    hidden = graph.node("Tanh", graph.node(
        "Add", hidden, graph.constant(graph.weights["attention.bias"])))
    scores = graph.node("MatMul", hidden, graph.constant(graph.weights["context"][:, None]))
    inside = graph.node("Unsqueeze", graph.inside(), graph.integers(2))  # (T, n, 1)
    scores = graph.node("Where", inside, scores, graph.constant(-np.inf))
    weighted = graph.node("Mul", x, graph.node("Softmax", scores, axis=0))
    pooled = graph.node("ReduceSum", weighted, graph.integers(0), keepdims=0)
    return mean_with_view(graph, graph.linear(pooled, "output"), options)


ATTENTION = ModelRecord(_tensors, _graph)
