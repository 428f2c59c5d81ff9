"""The mean of the vectors of words and n-grams, fastText's class: tensors and ONNX graph."""

from models.graph import Graph
from models.ngrams import mean_of_logits, table_shape
from models.options import ModelOptions
from models.record import ModelRecord, Shapes


def _tensors(options: ModelOptions) -> Shapes:
    return {"table.weight": table_shape(options, options.embedding_dim),
            "output.weight": (options.outputs, options.embedding_dim),
            "output.bias": (options.outputs,)}


def _graph(graph: Graph, options: ModelOptions) -> str:
    return mean_of_logits(graph, "table", "output")


BAG = ModelRecord(_tensors, _graph)
