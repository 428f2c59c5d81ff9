"""Compiles the kernels of scoring once for an installation: `python -m scoring.compile_kernels`."""

from typing import Any

import numpy as np

from models.options import ModelOptions
from models.records import RECORDS, make_options
from reviews.text.ngrams import padded_rows
from scoring.encode import EncodedTexts
from scoring.model import BagModel, LstmModel

Array = np.ndarray


def main() -> None:
    """Score a few rows with models of both kinds of ids."""
    lstm = make_options("lstm", dropout=0, vocabulary_size=8, padding=0, unknown=1,
                        embedding_dim=2, hidden_dim=2, layers=1, pooling="last")
    bag = make_options("bag", dropout=0, vocabulary_size=8, padding=0, unknown=1,
                       embedding_dim=2, ngrams=3, buckets=8)
    sizes = np.array([2, 1], np.int32)
    for kind in (np.uint16, np.uint32):
        rows = EncodedTexts(np.ones((2, 3), kind), sizes, sizes, sizes)
        LstmModel(_zeros(lstm), lstm).logits(rows)
        BagModel(_zeros(bag), bag).logits(rows)
        padded_rows(rows.tokens, sizes, 8, 3, 8)


def _zeros(options: ModelOptions[Any]) -> dict[str, Array]:
    shapes = RECORDS[options.model].tensors(options)
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


if __name__ == "__main__":
    main()
