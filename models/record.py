"""Record of a model: its tensors and its ONNX graph. Nothing here imports torch or onnx."""

from collections.abc import Callable
from dataclasses import dataclass

from models.graph import Graph
from models.options import ModelOptions

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class ModelRecord:
    """A model without its weights: the tensors it has, and its ONNX graph.

    tensors: shapes of its weights, by the names of docs/bundle-format.md.
    graph: writes its operations; returns the name of the logits (n, C).
    """

    tensors: Callable[[ModelOptions], Shapes]
    graph: Callable[[Graph, ModelOptions], str]
