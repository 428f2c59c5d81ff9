"""Options that several models have, and what a model is built from.

The configuration of a model, in its own file, is derived from the groups here that it has and adds
options of its own; the options of the last group come first.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from reviews.options import AtLeast, Search, check_bounds, flag, option


@dataclass(frozen=True)
class ModelConfig:
    """Options of every model."""

    dropout: float = option(
        0.2, "locked dropout: inputs of every layer, and the pooled vector", at_least=0, below=1,
        search=Search(low=0, high=0.6))

    def __post_init__(self) -> None:
        check_bounds(self, flag)

    @property
    def depth(self) -> int:
        """Number of layers, or of what else has tensors for each."""
        return 1


@dataclass(frozen=True)
class Words(ModelConfig):
    """Word vectors."""

    embedding_dim: int = option(
        100, "width of the word vectors", at_least=1, fixed=True,
        search=Search(low=0.5, high=2, log=True, factors=True))
    word_dropout: float = option(
        0.0, "fraction of words replaced by the unknown word", at_least=0, below=1,
        search=Search(low=0, high=0.3))


@dataclass(frozen=True)
class WordVectors(ModelConfig):
    """Vectors that words begin with."""

    word_vectors: str = option(
        "none", "initial word vectors: none, random ones; store, those of the store (prepare "
        "--vectors), in their width", ("none", "store"), fixed=True,
        training_only=True)
    freeze_vectors: bool = option(
        False, "keep the vectors of --word-vectors store as they are", fixed=True,
        training_only=True)


@dataclass(frozen=True)
class HiddenLayers(ModelConfig):
    """Layers on one another."""

    hidden_dim: int = option(
        64, "width of a layer; of a recurrent one, per direction", at_least=1, fixed=True,
        search=Search(low=0.5, high=2, log=True, factors=True))
    layers: int = option(1, "number of layers, recurrent ones or those of an mlp", at_least=1,
                         fixed=True, search=Search(low=1, high=2))

    @property
    def depth(self) -> int:
        """Number of layers."""
        return self.layers


@dataclass(frozen=True)
class LayersOverWords(HiddenLayers, Words):
    """Layers on one another that read word vectors."""


@dataclass(frozen=True)
class Ngrams(ModelConfig):
    """Table of words and hashed n-grams."""

    ngrams: int = option(
        0, "number of words of the longest n-gram: of a bag; of the bag beside a recurrent model "
        "(0: no bag); of the bag that an mlp reads beside the features (0: it reads no text)",
        at_least=0, fixed=True, search=Search(low=1, high=4))
    buckets: int = option(
        2_000_000, "number of rows that n-grams are hashed into", at_least=1, fixed=True,
        only_if={"ngrams": AtLeast(2)})  # words alone have rows of their own


@dataclass(frozen=True)
class NgramsBeside(Ngrams):
    """Bag of n-grams beside what else the model reads."""

    ngram_dim: int = option(
        16, "width of the vectors of n-grams", at_least=1, fixed=True,
        search=Search(low=0.5, high=2, log=True, factors=True),
        only_if={"ngrams": AtLeast(1)})
    ngram_rate: float = option(
        0.3, "learning rate of the rows of n-grams, by adagrad", above=0, training_only=True,
        search=Search(low=0.2, high=5, log=True, factors=True),
        only_if={"ngrams": AtLeast(1)})


Network = TypeVar("Network", bound=ModelConfig, covariant=True)


@dataclass(frozen=True, kw_only=True)
class InputsAndOutputs:
    """Sizes of what a model reads and of what it answers."""

    vocabulary_size: int  # number of ids
    padding: int
    unknown: int
    outputs: int = 1  # 1: one logit, for the second of two classes; else one for each class
    features: int = 0  # of a review, beside its text, where the model reads them


@dataclass(frozen=True, kw_only=True)
class ModelOptions(InputsAndOutputs, Generic[Network]):
    """Everything that a model is built from: model.json has it flat.

    model: its name.
    network: the options of its record, `built` of `ModelRecord`.
    """

    model: str
    network: Network

    @property
    def table(self) -> Ngrams | None:
        """Options of its table of words and n-grams; None where it has no table."""
        network = self.network
        return network if isinstance(network, Ngrams) and network.ngrams else None
