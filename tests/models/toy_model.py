"""A model in one file, as somebody would add it: the maximum of the word vectors, at least 0.

As a program, it trains, evaluates and scores with that model: STORE RUN.
"""

import json
import sys
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.graphs.graph import Graph
from models.nets.dropout import LAYERS, DropoutRandom, drop, drop_words
from models.nets.embedding import Embedding
from models.options import ModelOptions, Words
from models.record import ModelRecord, Shapes
from reviews.options import with_default

NAME = "toy"


@dataclass(frozen=True)
class ToyConfig(Words):
    """Options of toy."""

    embedding_dim: int = with_default(Words, "embedding_dim", 8)


class Toy(nn.Module):
    """Maximum of the word vectors over a review, at least 0, and logits."""

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        self.options = options
        self.embedding = Embedding(options.vocabulary_size, options.embedding_dim)
        self.output = nn.Linear(options.embedding_dim, options.outputs)

    def forward(
        self, tokens: Tensor, lengths: Tensor, draws: DropoutRandom | None = None
    ) -> Tensor:
        """Logits (n,)."""
        options = self.options
        inside = torch.arange(tokens.shape[1]) < lengths[:, None]  # (n, T)
        tokens = drop_words(tokens, draws, options.word_dropout, options.unknown)
        vectors = self.embedding(tokens.masked_fill(~inside, options.padding))  # (n, T, E)
        vectors = vectors.relu().masked_fill(~inside[:, :, None], 0).transpose(0, 1)
        highest = drop(vectors, draws, LAYERS, options.dropout).max(0).values
        return self.output(highest).squeeze(1)


def _tensors(options: ModelOptions) -> Shapes:
    return {"embedding.weight": (options.vocabulary_size, options.embedding_dim),
            "output.weight": (options.outputs, options.embedding_dim),
            "output.bias": (options.outputs,)}


def _graph(graph: Graph, options: ModelOptions) -> str:
    inside = graph.node("Unsqueeze", graph.inside(), graph.integers(2))
    vectors = graph.node("Relu", graph.word_vectors())  # (T, n, E)
    vectors = graph.node("Where", inside, vectors, graph.constant(0))
    return graph.linear(graph.node("ReduceMax", vectors, graph.integers(0), keepdims=0), "output")


TOY = ModelRecord(ToyConfig, _tensors, _graph, training={"epochs": 2, "learning_rate": 0.05})


def main(store: str, run: str) -> None:
    """Register the model, and use it as any other."""
    from models.nets import MODELS
    from models.records import RECORDS

    # Before the options of a training are declared.
    RECORDS[NAME], MODELS[NAME] = TOY, Toy
    import reviewmill
    from mpi_train.__main__ import main as train
    from scoring import load

    assert train([f"--store={store}", f"--out={run}", f"--model={NAME}", "--threads=1",
                  "--batch-size=64", "--dropout=0.1"]) == 0
    assert reviewmill.main(["evaluate", run, "--store", store, "--json"]) == 0
    found = load(run)(["w3 w4 w5", "w150 w160"])
    print(json.dumps({"probabilities": found.probabilities.tolist()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
