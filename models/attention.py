"""LSTM in both directions, pooled by attention: options, tensors and ONNX graph."""

from dataclasses import dataclass

import numpy as np

from models.graphs.graph import Graph
from models.ngrams import mean_with_view, view_tensors
from models.options import LayersOverWords, ModelOptions, NgramsBeside, Words, WordVectors
from models.record import ModelRecord, Shapes
from models.recurrent import layer_tensors, layers, words_last
from reviews.options import with_default


@dataclass(frozen=True)
class AttentionConfig(WordVectors, NgramsBeside, LayersOverWords):
    """Options of bilstm-attention."""

    dropout: float = with_default(Words, "dropout", 0.3)
    word_dropout: float = with_default(Words, "word_dropout", 0.05)


def _tensors(options: ModelOptions[AttentionConfig]) -> Shapes:
    width = 2 * options.network.hidden_dim
    return {
        **layer_tensors(options, "LSTM", 2),
        "attention.weight": (width, width), "attention.bias": (width,), "context": (width,),
        "output.weight": (options.outputs, width), "output.bias": (options.outputs,),
        **view_tensors(options),
    }


def _graph(graph: Graph, options: ModelOptions[AttentionConfig]) -> str:
    outputs, _ = layers(graph, graph.word_vectors(), options, "LSTM", 2)
    x = words_last(graph, outputs, 2 * options.network.hidden_dim)  # (T, n, 2 H)
    hidden = graph.node("MatMul", x, graph.constant(graph.weights["attention.weight"].T))
    hidden = graph.node("Tanh", graph.node(
        "Add", hidden, graph.constant(graph.weights["attention.bias"])))
    scores = graph.node("MatMul", hidden, graph.constant(graph.weights["context"][:, None]))
    inside = graph.node("Unsqueeze", graph.inside(), graph.integers(2))  # (T, n, 1)
    scores = graph.node("Where", inside, scores, graph.constant(-np.inf))
    weighted = graph.node("Mul", x, graph.node("Softmax", scores, axis=0))
    pooled = graph.node("ReduceSum", weighted, graph.integers(0), keepdims=0)
    return mean_with_view(graph, graph.linear(pooled, "output"), options)


ATTENTION = ModelRecord(
    AttentionConfig, _tensors, _graph, int8=True,
    training={"batch_size": 256, "learning_rate": 3e-3})
