"""A model in one file, as somebody would add it: the maximum of the word vectors, from 0 to
--ceiling.

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
from reviews.errors import UserError
from reviews.options import option, with_default

NAME = "toy"


@dataclass(frozen=True)
class ToyConfig(Words):
    """Options of toy."""

    embedding_dim: int = with_default(Words, "embedding_dim", 8)
    ceiling: float = option(6.0, "largest value of a maximum", above=0, fixed=True)


class Toy(nn.Module):
    """Maximum of the word vectors over a review, from 0 to the ceiling, and logits."""

    def __init__(self, options: ModelOptions[ToyConfig]) -> None:
        super().__init__()
        self.options = options
        width = options.network.embedding_dim
        self.embedding = Embedding(options.vocabulary_size, width)
        self.output = nn.Linear(width, options.outputs)

    def forward(
        self, tokens: Tensor, lengths: Tensor, draws: DropoutRandom | None = None
    ) -> Tensor:
        """Logits (n,)."""
        options = self.options
        config = options.network
        inside = torch.arange(tokens.shape[1]) < lengths[:, None]  # (n, T)
        tokens = drop_words(tokens, draws, config.word_dropout, options.unknown)
        vectors = self.embedding(tokens.masked_fill(~inside, options.padding))  # (n, T, E)
        vectors = vectors.relu().masked_fill(~inside[:, :, None], 0).transpose(0, 1)
        highest = drop(vectors, draws, LAYERS, config.dropout).max(0).values
        return self.output(highest.clamp(max=config.ceiling)).squeeze(1)


def _tensors(options: ModelOptions[ToyConfig]) -> Shapes:
    width = options.network.embedding_dim
    return {"embedding.weight": (options.vocabulary_size, width),
            "output.weight": (options.outputs, width),
            "output.bias": (options.outputs,)}


def _graph(graph: Graph, options: ModelOptions[ToyConfig]) -> str:
    inside = graph.node("Unsqueeze", graph.inside(), graph.integers(2))
    vectors = graph.node("Relu", graph.word_vectors())  # (T, n, E)
    vectors = graph.node("Where", inside, vectors, graph.constant(0))
    highest = graph.node("ReduceMax", vectors, graph.integers(0), keepdims=0)
    ceiling = graph.constant(options.network.ceiling)
    below = graph.node("Less", highest, ceiling)
    return graph.linear(graph.node("Where", below, highest, ceiling), "output")


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

    words = [f"--store={store}", f"--out={run}", "--threads=1", "--batch-size=64"]
    for wrong in (["--model=cnn", "--ceiling=1"], [f"--model={NAME}", "--ceiling=0"]):
        try:
            train([*words, *wrong])
        except UserError as error:
            print("refused:", error)
    assert train([*words, f"--model={NAME}", "--dropout=0.1", "--ceiling=0.5"]) == 0
    assert reviewmill.main(["evaluate", run, "--store", store, "--json"]) == 0
    found = load(run)(["w3 w4 w5", "w150 w160"])
    print(json.dumps({"probabilities": found.probabilities.tolist()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
