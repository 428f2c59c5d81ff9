"""Pre-trained encoders of BERT's class: names and shapes of their tensors, and their ONNX graph.

Tensors have the names of Hugging Face's files, with `encoder.` before them.
"""

import math
from dataclasses import dataclass

import numpy as np

from models.graphs.graph import Graph
from models.record import Shapes
from reviews.errors import UserError

PREFIX = "encoder."
_INT32 = 6  # TensorProto.INT32


@dataclass(frozen=True)
class _Names:
    """Names of the parts of an architecture's layers."""

    layers: str
    query: str
    key: str
    value: str
    attended: str  # what the heads' outputs go through
    attention_norm: str
    up: str
    down: str
    norm: str


_BERT = _Names(
    "encoder.layer", "attention.self.query", "attention.self.key", "attention.self.value",
    "attention.output.dense", "attention.output.LayerNorm", "intermediate.dense",
    "output.dense", "output.LayerNorm")
ARCHITECTURES = {
    "bert": _BERT,
    "roberta": _BERT,
    "distilbert": _Names(
        "transformer.layer", "attention.q_lin", "attention.k_lin", "attention.v_lin",
        "attention.out_lin", "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm"),
}
ACTIVATIONS = ("gelu", "relu")


@dataclass(frozen=True)
class EncoderShape:
    """Shape of a pre-trained encoder, as its config.json has it."""

    architecture: str  # of ARCHITECTURES
    width: int  # of its states
    encoder_layers: int
    heads: int
    feed_forward: int  # width of the layer between those of the encoder's width
    positions: int  # rows of the table of positions
    first_position: int  # the row of a review's first id
    token_types: int  # rows of the table of types, of which the first is added to every id
    activation: str  # of ACTIVATIONS
    epsilon: float  # of layers that normalize
    prefix: tuple[int, ...] = ()  # ids before every review that are not in the store's rows
    suffix: tuple[int, ...] = ()  # and behind it

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise UserError(f"the architecture of the encoder is {self.architecture!r}, not one of "
                            + ", ".join(ARCHITECTURES))


def encoder_tensors(shape: EncoderShape, vocabulary_size: int) -> Shapes:
    """Shapes of an encoder's tensors."""
    width = shape.width
    shapes: Shapes = {
        "embeddings.word_embeddings.weight": (vocabulary_size, width),
        "embeddings.position_embeddings.weight": (shape.positions, width),
        **_with_bias("embeddings.LayerNorm", width),
    }
    if shape.token_types:
        shapes["embeddings.token_type_embeddings.weight"] = (shape.token_types, width)
    names = ARCHITECTURES[shape.architecture]
    for number in range(shape.encoder_layers):
        layer = f"{names.layers}.{number}."
        for part in (names.query, names.key, names.value, names.attended):
            shapes |= _with_bias(layer + part, width, width)
        shapes |= _with_bias(layer + names.attention_norm, width)
        shapes |= _with_bias(layer + names.up, shape.feed_forward, width)
        shapes |= _with_bias(layer + names.down, width, shape.feed_forward)
        shapes |= _with_bias(layer + names.norm, width)
    return {PREFIX + name: found for name, found in shapes.items()}


def _with_bias(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def first_states(graph: Graph, shape: EncoderShape) -> str:
    """States (n, D) of each review's first id behind the last layer."""
    writer = _Writer(graph, shape)
    tokens, inside = writer.inputs()
    x = writer.embed(tokens)  # (n, T, D)
    outside = graph.node("Where", inside, graph.constant(0), graph.constant(-np.inf))
    mask = graph.node("Unsqueeze", outside, graph.integers(1, 2))  # (n, 1, 1, T)
    for number in range(shape.encoder_layers):
        # Of the last layer's outputs only the first is read.
        last = number + 1 == shape.encoder_layers
        asking = graph.node("Gather", x, graph.integers(0), axis=1) if last else x
        x = writer.layer(number, asking, x, mask)
    return graph.node("Squeeze", x, graph.integers(1))


class _Writer:
    """Writes the operations of an encoder."""

    def __init__(self, graph: Graph, shape: EncoderShape) -> None:
        self._graph, self._shape = graph, shape
        self._names = ARCHITECTURES[shape.architecture]

    def inputs(self) -> tuple[str, str]:
        """Ids (n, T) with the special ones, and which of them (n, T) belong to the review."""
        graph, shape = self._graph, self._shape
        tokens, lengths = graph.input("tokens"), graph.input("lengths")
        around = len(shape.prefix) + len(shape.suffix)
        if not around:
            return tokens, self._inside(tokens, lengths)
        row = graph.node("Unsqueeze", lengths, graph.integers(1))  # (n, 1)
        zeros = graph.node("Sub", row, row)
        before = [graph.node("Add", zeros, graph.constant(number, np.int32))
                  for number in shape.prefix]
        tokens = graph.node("Concat", *before, tokens, *[zeros] * len(shape.suffix), axis=1)
        steps = self._steps(tokens)  # (T,)
        for place, number in enumerate(shape.suffix):
            at = graph.node("Add", row, graph.constant(len(shape.prefix) + place, np.int32))
            tokens = graph.node("Where", graph.node("Equal", steps, at),
                                graph.constant(number, np.int32), tokens)
        return tokens, self._inside(
            tokens, graph.node("Add", lengths, graph.constant(around, np.int32)))

    def _steps(self, tokens: str) -> str:
        """0 to T - 1 (T,) int32."""
        graph = self._graph
        width = graph.node("Gather", graph.node("Shape", tokens), graph.constant(1, np.int64))
        return graph.node("Range", graph.constant(0, np.int32),
                          graph.node("Cast", width, to=_INT32), graph.constant(1, np.int32))

    def _inside(self, tokens: str, lengths: str) -> str:
        graph = self._graph
        return graph.node("Less", self._steps(tokens),
                          graph.node("Unsqueeze", lengths, graph.integers(1)))

    def embed(self, tokens: str) -> str:
        """Ids (n, T) to vectors (n, T, D)."""
        graph, place = self._graph, f"{PREFIX}embeddings."
        rows = graph.weights[f"{place}position_embeddings.weight"][self._shape.first_position :]
        if self._shape.token_types:  # every id is of the first type
            rows = rows + graph.weights[f"{place}token_type_embeddings.weight"][0]
        words = graph.lookup(graph.weights[f"{place}word_embeddings.weight"], tokens)
        positions = graph.lookup(rows, self._steps(tokens))
        return self._norm(graph.node("Add", words, positions), f"{place}LayerNorm")

    def layer(self, number: int, asking: str, x: str, mask: str) -> str:
        """States (n, Q, D) of the places that ask all places x (n, T, D)."""
        graph, names = self._graph, self._names
        layer = f"{PREFIX}{names.layers}.{number}."
        attended = self._dense(self._attend(layer, asking, x, mask), layer + names.attended)
        asking = self._norm(graph.node("Add", attended, asking), layer + names.attention_norm)
        hidden = self._activate(self._dense(asking, layer + names.up))
        hidden = self._dense(hidden, layer + names.down)
        return self._norm(graph.node("Add", hidden, asking), layer + names.norm)

    def _attend(self, layer: str, asking: str, x: str, mask: str) -> str:
        """Outputs (n, Q, D) of all heads H, each of d = D / H."""
        graph, names, heads = self._graph, self._names, self._shape.heads
        width = self._shape.width // heads
        query = self._split(self._dense(asking, layer + names.query, width**-0.5), (0, 2, 1, 3))
        key = self._split(self._dense(x, layer + names.key), (0, 2, 3, 1))  # (n, H, d, T)
        value = self._split(self._dense(x, layer + names.value), (0, 2, 1, 3))  # (n, H, T, d)
        scores = graph.node("Add", graph.node("MatMul", query, key), mask)  # (n, H, Q, T)
        found = graph.node("MatMul", graph.node("Softmax", scores, axis=-1), value)
        turned = graph.node("Transpose", found, perm=[0, 2, 1, 3])
        return graph.node("Reshape", turned, graph.integers(0, 0, heads * width))

    def _split(self, x: str, order: tuple[int, ...]) -> str:
        """x (n, T, D) as (n, T, H, d), its axes in another order."""
        heads = self._shape.heads
        parts = self._graph.node("Reshape", x, self._graph.integers(0, 0, heads, -1))
        return self._graph.node("Transpose", parts, perm=list(order))

    def _dense(self, x: str, name: str, factor: float = 1.0) -> str:
        graph = self._graph
        weight, bias = (graph.weights[f"{name}.{part}"] * np.float32(factor)
                        for part in ("weight", "bias"))
        return graph.dense(x, weight, bias)

    def _norm(self, x: str, name: str) -> str:
        graph = self._graph
        return graph.node(
            "LayerNormalization", x, graph.constant(graph.weights[f"{name}.weight"]),
            graph.constant(graph.weights[f"{name}.bias"]), axis=-1, epsilon=self._shape.epsilon)

    def _activate(self, x: str) -> str:
        graph = self._graph
        if self._shape.activation == "relu":
            return graph.node("Relu", x)
        # Opset 18 has no Gelu: x (1 + erf(x / sqrt 2)) / 2.
        raised = graph.node("Erf", graph.node("Div", x, graph.constant(math.sqrt(2))))
        grown = graph.node("Mul", x, graph.node("Add", raised, graph.constant(1)))
        return graph.node("Mul", grown, graph.constant(0.5))
