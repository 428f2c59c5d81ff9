"""Record of a model, without its weights and without torch or onnx."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from models.graphs.graph import Graph
from models.options import ModelConfig, ModelOptions

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class ModelRecord:
    """A model: its options, its tensors and its ONNX graph.

    config: its options with their defaults, as a training has them.
    tensors: shapes of its weights, by the names of docs/bundle-format.md.
    graph: writes its operations; returns the name of the logits (n, C).
    training: defaults of a training that the model changes, by the names of options.
    reads_features: it reads the numbers that stand beside the text.
    table_only: its words are rows of a table, of which an update changes those that it reads.
    int8: its graph is written in 8 bits, too.
    built: `config` with what is only known once a training begins, where there is such.
    """

    config: type[ModelConfig]
    tensors: Callable[[ModelOptions[Any]], Shapes]
    graph: Callable[[Graph, ModelOptions[Any]], str]
    training: Mapping[str, Any] = field(default_factory=dict)
    reads_features: bool = False
    table_only: bool = False
    int8: bool = False
    built: type[ModelConfig] | None = None

    @property
    def network(self) -> type[ModelConfig]:
        """The options that it is built from."""
        return self.built or self.config
