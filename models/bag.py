"""Mean of the vectors of words and n-grams, fastText's class: options, tensors, ONNX graph."""

from dataclasses import dataclass

from models.graphs.graph import Graph
from models.ngrams import mean_of_logits, table_shape
from models.options import ModelOptions, Ngrams, Words
from models.record import ModelRecord, Shapes
from reviews.errors import UserError
from reviews.options import with_default


@dataclass(frozen=True)
class BagConfig(Ngrams, Words):
    """Options of bag."""

    dropout: float = with_default(Words, "dropout", 0.3)
    embedding_dim: int = with_default(Words, "embedding_dim", 16)
    ngrams: int = with_default(Ngrams, "ngrams", 3)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ngrams < 1:
            raise UserError(f"--ngrams is {self.ngrams}: give 1 or more")


def _tensors(options: ModelOptions[BagConfig]) -> Shapes:
    config = options.network
    return {"table.weight": table_shape(options, config.embedding_dim),
            "output.weight": (options.outputs, config.embedding_dim),
            "output.bias": (options.outputs,)}


def _graph(graph: Graph, options: ModelOptions[BagConfig]) -> str:
    return mean_of_logits(graph, "table", "output")


BAG = ModelRecord(
    BagConfig, _tensors, _graph, table_only=True,
    training={"optimizer": "adagrad", "learning_rate": 0.3, "epochs": 2,
              "micro_batch_tokens": 1 << 18})
