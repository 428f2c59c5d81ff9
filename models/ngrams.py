"""Tables of n-grams in ONNX: means of the rows that reviews.text.ngrams finds."""

from models.graphs.graph import Array, Graph
from models.options import ModelOptions, Ngrams, NgramsBeside
from models.record import Shapes


def table_shape(options: ModelOptions[Ngrams], dim: int) -> tuple[int, int]:
    """Shape of a table of word and n-gram vectors."""
    config = options.network
    return options.vocabulary_size + (config.buckets if config.ngrams > 1 else 0), dim


def mean_of_rows(graph: Graph, table: Array) -> str:
    """The mean (n, D) of each review's rows of a table (R, D)."""
    vectors = graph.lookup(table, graph.input("rows"))  # (n, K, D)
    weights = graph.node("Unsqueeze", graph.input("row_weights"), graph.integers(1))
    return graph.node("Squeeze", graph.node("MatMul", weights, vectors), graph.integers(1))


def mean_of_logits(graph: Graph, table: str, output: str) -> str:
    """Logits (n, C) of a layer over the mean of a table's rows.

    The layer is linear, so that it goes into the table: C numbers a row in the place of D.
    """
    folded = graph.weights[f"{table}.weight"] @ graph.weights[f"{output}.weight"].T
    return graph.node("Add", mean_of_rows(graph, folded),
                      graph.constant(graph.weights[f"{output}.bias"]))


def view_tensors(options: ModelOptions[NgramsBeside]) -> Shapes:
    """Shapes of the bag beside a model; none where it has no n-grams."""
    config = options.network
    if not config.ngrams:
        return {}
    return {"ngrams.table.weight": table_shape(options, config.ngram_dim),
            "ngrams.output.weight": (options.outputs, config.ngram_dim),
            "ngrams.output.bias": (options.outputs,)}


def mean_with_view(graph: Graph, logits: str, options: ModelOptions[NgramsBeside]) -> str:
    """The mean of a model's logits (n, C) and those of the bag beside it, if there is one."""
    if not options.network.ngrams:
        return logits
    own = mean_of_logits(graph, "ngrams.table", "ngrams.output")
    return graph.node("Mul", graph.node("Add", logits, own), graph.constant(0.5))
