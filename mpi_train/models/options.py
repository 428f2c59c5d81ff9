"""What a model is made of: the part of model.json that `build` needs."""

from dataclasses import asdict, dataclass
from typing import Any

_NGRAMS = ("ngrams", "buckets")
_JOINED = (*_NGRAMS, "ngram_dim", "ngram_rate")
_VECTORS = ("word_vectors", "freeze_vectors")
_RECURRENT = ("hidden_dim", "layers", "bidirectional", "pooling", *_JOINED, *_VECTORS)

# The options that only some models have.
OWN_OPTIONS: dict[str, tuple[str, ...]] = {
    "lstm": _RECURRENT,
    "gru": _RECURRENT,
    "bilstm-attention": ("hidden_dim", "layers", *_JOINED, *_VECTORS),
    "cnn": ("widths", "filters", *_VECTORS),
    "bag": _NGRAMS,
    "mlp": ("hidden_dim", "layers", *_JOINED),
}


@dataclass(frozen=True)
class ModelOptions:
    """Everything that decides a model's shape and its dropout."""

    model: str
    embedding_dim: int
    dropout: float
    word_dropout: float
    vocabulary_size: int  # number of ids
    padding: int
    unknown: int
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
    features: int = 0  # of a review, beside its text; read by mlp alone

    def to_mapping(self) -> dict[str, Any]:
        """The options as plain values, without those of other models."""
        others = {name for names in OWN_OPTIONS.values() for name in names}
        others -= set(OWN_OPTIONS[self.model])
        plain = {name: value for name, value in asdict(self).items() if name not in others}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in plain.items()}
