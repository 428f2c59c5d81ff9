"""Texts -> labels and probabilities, by a trained model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from reviews.bundle import Bundle
from reviews.errors import UserError
from reviews.metrics import probabilities
from scoring.encode import EncodedTexts, TextEncoder
from scoring.model import Model, load_model

Array = np.ndarray


@dataclass(frozen=True)
class Predictions:
    """Predictions for n texts."""

    labels: list[str]  # names of the most probable classes
    probabilities: Array  # (n, classes) float32, rows add up to 1
    n_words: Array  # (n,) int32, words of each text; of one without any the model knows nothing
    n_cut: Array  # (n,) int32, words of it that the model does not read


def load(path: str, threads: int = 1) -> "Predictor":
    """The model of a run folder or a bundle, which is then called with texts.

    threads: of ONNX Runtime for one call. Raises UserError for a model that reads fields beside
    the text.
    """
    bundle, model = load_model(path, threads)
    if features := bundle.model.get("features"):
        raise UserError(f"{path} reads fields beside the text ({', '.join(features[:3])}...): "
                        "`reviewmill score` takes them from files")
    return Predictor(bundle, model)


class Predictor:
    """A loaded model; of one thread."""

    def __init__(self, bundle: Bundle, model: Model) -> None:
        self.bundle, self.model = bundle, model
        self.classes: list[str] = list(bundle.model["classes"])
        self.encoder = TextEncoder(bundle)

    def __call__(self, texts: Sequence[str]) -> Predictions:
        """Labels and probabilities of the texts, in their order; ValueError for a None."""
        array = pa.array(texts, pa.string())
        if array.null_count:
            raise ValueError(f"text {array.is_null().to_pylist().index(True)} is None")
        return self.predict(self.encoder.encode(array))

    def predict(self, rows: EncodedTexts, features: Array | None = None) -> Predictions:
        """Labels and probabilities of encoded texts."""
        found = probabilities(self.model.logits(rows, features))
        labels = [self.classes[number] for number in found.argmax(1)]
        return Predictions(labels, found, rows.n_words, rows.n_cut)
