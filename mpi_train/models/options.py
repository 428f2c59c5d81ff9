"""What a model is made of: the part of model.json that `build` needs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelOptions:
    """Everything that decides a model's shape and its dropout."""

    model: str  # lstm or gru
    embedding_dim: int
    hidden_dim: int
    layers: int
    dropout: float
    word_dropout: float
    bidirectional: bool
    pooling: str  # last, max or mean+max
    vocabulary_size: int  # number of ids
    padding: int
    unknown: int
