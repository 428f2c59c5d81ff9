"""Options of models: those that several models have, and what a model is built from.

The configuration of a model, in its own file, is derived from the groups here that it has; the
options of the last group come first.
"""

from dataclasses import dataclass

from reviews.options import AtLeast, Search, check_bounds, flag, option


@dataclass(frozen=True)
class ModelConfig:
    """Options of every model."""

    dropout: float = option(
        0.2, "locked dropout: inputs of every layer, and the pooled vector", at_least=0, below=1,
        search=Search(low=0, high=0.6))

    def __post_init__(self) -> None:
        check_bounds(self, flag)


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
        "none", "vectors that words begin with, random ones or those of the store (prepare "
        "--vectors), as wide as they are", ("none", "store"), fixed=True)
    freeze_vectors: bool = option(
        False, "keep the vectors of --word-vectors store as they are", fixed=True)


@dataclass(frozen=True)
class HiddenLayers(ModelConfig):
    """Layers on one another."""

    hidden_dim: int = option(
        64, "width of a layer; of a recurrent one, per direction", at_least=1, fixed=True,
        search=Search(low=0.5, high=2, log=True, factors=True))
    layers: int = option(1, "number of layers, recurrent ones or those of an mlp", at_least=1,
                         fixed=True, search=Search(low=1, high=2))


@dataclass(frozen=True)
class Ngrams(ModelConfig):
    """Table of words and hashed n-grams."""

    ngrams: int = option(
        0, "words of the longest n-gram: of a bag, of one that votes beside a recurrent model "
        "(0: none does), or of one that an mlp reads beside the features (0: it reads no text)",
        at_least=0, fixed=True, search=Search(low=1, high=4))
    buckets: int = option(
        2_000_000, "number of rows that n-grams are hashed into", at_least=1, fixed=True,
        only_if={"ngrams": AtLeast(2)})  # words alone have rows of their own


@dataclass(frozen=True)
class NgramView(Ngrams):
    """Bag of n-grams beside what else the model reads."""

    ngram_dim: int = option(
        16, "width of the vectors of n-grams", at_least=1, fixed=True,
        search=Search(low=0.5, high=2, log=True, factors=True),
        only_if={"ngrams": AtLeast(1)})
    ngram_rate: float = option(
        0.3, "learning rate of the rows of n-grams, by adagrad", above=0,
        search=Search(low=0.2, high=5, log=True, factors=True),
        only_if={"ngrams": AtLeast(1)})


@dataclass(frozen=True)
class EncoderShape:
    """Shape of a pre-trained encoder, as its config.json has it."""

    architecture: str = ""  # bert, distilbert or roberta
    width: int = 0  # of its states
    encoder_layers: int = 0
    heads: int = 0
    feed_forward: int = 0  # width of the layer between those of the encoder's width
    positions: int = 0  # rows of the table of positions
    first_position: int = 0  # the row of a review's first id
    token_types: int = 0  # rows of the table of types, of which the first is added to every id
    activation: str = ""
    epsilon: float = 0.0  # of layers that normalize
    prefix: tuple[int, ...] = ()  # ids before every review that are not in the store's rows
    suffix: tuple[int, ...] = ()  # and behind it


@dataclass(frozen=True)
class ModelOptions:
    """Everything that decides a model's shape and its dropout, as model.json has it."""

    model: str
    dropout: float
    vocabulary_size: int  # number of ids
    padding: int
    unknown: int
    embedding_dim: int = 0
    word_dropout: float = 0.0
    outputs: int = 1  # 1: one logit, for the second of two classes; else one for each class
    hidden_dim: int = 0
    layers: int = 0
    bidirectional: bool = False
    pooling: str = ""  # last, max or mean+max
    widths: tuple[int, ...] = ()
    filters: int = 0
    ngrams: int = 0
    buckets: int = 0
    ngram_dim: int = 0
    features: int = 0  # of a review, beside its text, where the model reads them
    shape: EncoderShape = EncoderShape()
