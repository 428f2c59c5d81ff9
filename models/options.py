"""Options of a model: the part of model.json that `build` needs."""

from dataclasses import asdict, dataclass
from typing import Any

_WORDS = ("embedding_dim", "word_dropout")
_NGRAMS = ("ngrams", "buckets")
_JOINED = (*_NGRAMS, "ngram_dim", "ngram_rate")
_VECTORS = ("word_vectors", "freeze_vectors")
_RECURRENT = (*_WORDS, "hidden_dim", "layers", "bidirectional", "pooling", *_JOINED, *_VECTORS)

# The options that only some models have.
OWN_OPTIONS: dict[str, tuple[str, ...]] = {
    "lstm": _RECURRENT,
    "gru": _RECURRENT,
    "bilstm-attention": (*_WORDS, "hidden_dim", "layers", *_JOINED, *_VECTORS),
    "cnn": (*_WORDS, "widths", "filters", *_VECTORS),
    "bag": (*_WORDS, *_NGRAMS),
    "mlp": ("hidden_dim", "layers", *_JOINED),
}


def unread(model: str, ngrams: int) -> set[str]:
    """The options that a model does not read: those of others, and of n-grams that it has not."""
    found = {name for names in OWN_OPTIONS.values() for name in names} - {*OWN_OPTIONS[model]}
    if ngrams == 0:
        found |= {*_JOINED} - {"ngrams"}
    elif ngrams == 1:  # words, which have rows of their own
        found.add("buckets")
    return found


@dataclass(frozen=True)
class ModelOptions:
    """Everything that decides a model's shape and its dropout."""

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
    features: int = 0  # of a review, beside its text; read by mlp alone

    def to_mapping(self) -> dict[str, Any]:
        """The options as plain values, without those that the model does not read."""
        others = unread(self.model, self.ngrams)
        if not self.features:
            others.add("features")
        plain = {name: value for name, value in asdict(self).items() if name not in others}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in plain.items()}
