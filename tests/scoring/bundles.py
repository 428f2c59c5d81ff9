"""Bundles of untrained models, whose outputs are spread as those of trained ones are."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.nets import build
from models.options import ModelOptions
from models.records import make_options, onnx_file, options_mapping
from reviews.bundle import write_bundle
from reviews.recipe import Recipe

WORDS = ["good", "bad", "tea", "cup", "the", "broke", "love", "never", "again", "!", ".", "it's",
         "café", "kettle", "returned", "perfect"]
LENGTH = 24
MODELS = ("lstm", "gru", "bilstm-attention", "cnn", "bag", "views")
TEXTS = [
    "Good tea, good cup!", "", "BAD. Never again.", "... ---", "zzz qqq", "it's perfect",
    " ".join(["love the kettle"] * 30), "tea", "Returned it; it broke\nagain and again.", "café!",
]


def options_of(model: str, **others: Any) -> ModelOptions[Any]:
    """Options of a small model; views is a BiLSTM and a bag."""
    values: dict[str, Any] = {
        "vocabulary_size": len(WORDS) + 2, "padding": 0, "unknown": 1, "dropout": 0.0}
    if model != "mlp":
        values |= {"embedding_dim": 8, "word_dropout": 0.0}
    if model == "cnn":
        values |= {"widths": (2, 3), "filters": 5}
    elif model == "bag":
        values |= {"ngrams": 3, "buckets": 211}
    else:
        values |= {"hidden_dim": 6, "layers": 2}
    if model in ("lstm", "gru", "views"):
        values |= {"pooling": "mean+max", "bidirectional": model == "views"}
    if model in ("views", "mlp"):
        values |= {"ngrams": 3, "buckets": 211, "ngram_dim": 4}
    return make_options("lstm" if model == "views" else model, **{**values, **others})


def make_bundle(
    folder: Path, model: str = "lstm", with_onnx: bool = True, recipe: Recipe | None = None,
    words: list[str] = WORDS, description: dict[str, Any] | None = None, seed: int = 3,
    **options: Any,
) -> tuple[Path, torch.nn.Module]:
    """A bundle in a folder, in place of one that is there, and its network."""
    made = options_of(model, **options)
    torch.manual_seed(seed)
    net = build(made)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(4.0)
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / "words.txt"
    vocabulary.write_text("".join(word + "\n" for word in words), "utf-8")
    recipe = recipe or Recipe.of(length=LENGTH)
    classes = ["negative", "positive"] if made.outputs == 1 else list("abcde"[: made.outputs])
    write_bundle(
        folder / "model", weights,
        {"options": options_mapping(made), "classes": classes, "length": recipe.encoding.length,
         "features": [], "feature_encoding": [], **(description or {})},
        recipe.to_yaml(), vocabulary, "# Card\n",
        onnx=onnx_file(made, weights) if with_onnx else None)
    return folder / "model", net


def torch_logits(net: torch.nn.Module, ids: list[list[int]]) -> np.ndarray:
    """Logits (n, C) of reviews, each by itself."""
    with torch.inference_mode():
        found = [net(torch.tensor([row]), torch.tensor([len(row)])).reshape(1, -1) for row in ids]
    return torch.cat(found).numpy()
