"""Models of bundles: weights that do not fit what model.json says are refused, at no cost."""

from pathlib import Path
from typing import Any

import pytest
import torch

from models.nets import build
from models.nets.load_model import load_model
from models.records import make_options
from reviews.bundle import Bundle
from reviews.errors import UserError
from reviews.recipe import Recipe

OPTIONS = {"model": "lstm", "dropout": 0.0, "vocabulary_size": 9, "padding": 0, "unknown": 1,
           "embedding_dim": 4, "word_dropout": 0.0, "hidden_dim": 3, "layers": 1,
           "bidirectional": False, "pooling": "last", "ngrams": 0}


def bundle(**changed: Any) -> Bundle:
    weights = {name: value.numpy()
               for name, value in build(make_options(**OPTIONS)).state_dict().items()}
    return Bundle(Path("folder"), {"options": {**OPTIONS, **changed}}, weights, Recipe(), [])


def test_the_weights_are_those_of_the_bundle() -> None:
    found = bundle()
    state = load_model(found).state_dict()
    assert all(torch.equal(state[name], torch.from_numpy(value))
               for name, value in found.weights.items())


@pytest.mark.parametrize("changed", [
    {"vocabulary_size": 10**12}, {"hidden_dim": 10**9}, {"layers": 10**9}, {"hidden_dim": -1},
    {"embedding_dim": 5}, {"model": "gru"}, {"pooling": "max", "outputs": 10**12},
])
def test_other_shapes_are_refused_before_they_take_memory(changed: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"the weights do not fit model\.json"):
        load_model(bundle(**changed))
