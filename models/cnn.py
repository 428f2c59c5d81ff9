"""Convolutions of several widths and the maximum of each: options, tensors and ONNX graph."""

from dataclasses import dataclass

from models.graphs.graph import Graph
from models.options import ModelOptions, Words, WordVectors
from models.record import ModelRecord, Shapes
from reviews.errors import UserError
from reviews.options import Search, option, with_default


@dataclass(frozen=True)
class CnnConfig(WordVectors, Words):
    """Options of cnn."""

    dropout: float = with_default(Words, "dropout", 0.3)
    widths: tuple[int, ...] = option(
        (2, 3, 4), "widths of the convolutions in words", at_least=1, fixed=True)
    filters: int = option(64, "number of outputs of each convolution", at_least=1, fixed=True,
                         search=Search(low=0.5, high=2, log=True, factors=True))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.widths:
            raise UserError("--widths is : give numbers of 1 or more")

    @property
    def depth(self) -> int:
        """Number of convolutions."""
        return len(self.widths)


def _tensors(options: ModelOptions[CnnConfig]) -> Shapes:
    config = options.network
    shapes: Shapes = {"embedding.weight": (options.vocabulary_size, config.embedding_dim)}
    for number, width in enumerate(config.widths):
        name = f"convolutions.{number}"
        shapes |= {f"{name}.weight": (config.filters, config.embedding_dim, width),
                   f"{name}.bias": (config.filters,)}
    features = config.filters * len(config.widths)
    return {**shapes, "output.weight": (options.outputs, features),
            "output.bias": (options.outputs,)}


def _graph(graph: Graph, options: ModelOptions[CnnConfig]) -> str:
    inside = graph.inside()
    zero = graph.constant(0)
    vectors = graph.node("Where", graph.node("Unsqueeze", inside, graph.integers(2)),
                         graph.word_vectors(), zero)
    x = graph.node("Transpose", vectors, perm=[1, 2, 0])  # (n, E, T)
    turned = graph.node("Transpose", inside, perm=[1, 0])
    of_review = graph.node("Unsqueeze", turned, graph.integers(1))  # (n, 1, T)
    highest = []
    for number, width in enumerate(options.network.widths):
        name = f"convolutions.{number}"
        found = graph.node(
            "Conv", x, graph.constant(graph.weights[f"{name}.weight"]),
            graph.constant(graph.weights[f"{name}.bias"]), kernel_shape=[width],
            pads=[(width - 1) // 2, width // 2])
        found = graph.node("Where", of_review, graph.node("Relu", found), zero)
        highest.append(graph.node("ReduceMax", found, graph.integers(2), keepdims=0))
    return graph.linear(graph.node("Concat", *highest, axis=1), "output")


CNN = ModelRecord(
    CnnConfig, _tensors, _graph, training={"batch_size": 256, "learning_rate": 1e-3})
