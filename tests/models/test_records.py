"""Records say of every model what torch builds, and their graphs compute what it computes."""

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from models.nets import build
from models.options import ModelOptions, Ngrams
from models.records import RECORDS, check_shapes, onnx_file, options_mapping, options_of
from reviews.bundle import Bundle
from reviews.errors import UserError
from reviews.recipe import Recipe
from reviews.text.ngrams import padded_rows
from tests.models.test_nets import KINDS
from tests.models.test_nets import options_of as small_options

OTHERS = ("bilstm-attention", "cnn", "bag", "mlp", "lstm+ngrams", "gru+ngrams",
          "bilstm-attention+ngrams", "mlp+ngrams")
LENGTHS = (1, 5, 1, 100, 64, 7, 256, 2)  # an empty review is one unknown word
WIDTH = max(LENGTHS)
FEATURES = 3
# model, layers, both directions, pooling, outputs
EVERY = [*((*kind, 1) for kind in KINDS),
         *((model, 2, True, "mean+max", outputs)
           for model, outputs in itertools.product(OTHERS, (1, 3)))]


def small(model: str, layers: int = 1, bidirectional: bool = False, pooling: str = "mean+max",
          outputs: int = 1) -> ModelOptions[Any]:
    features = FEATURES if model.startswith("mlp") else 0
    return small_options(model, layers, bidirectional, pooling, outputs=outputs,
                         features=features)


def trained(options: ModelOptions[Any]) -> Any:
    """A model whose outputs are spread as those of trained ones are."""
    torch.manual_seed(5)
    model = build(options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    return model


def weights_of(model: Any) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in model.state_dict().items()}


def inputs_of(options: ModelOptions[Any]) -> dict[str, np.ndarray]:
    """Inputs that a graph may ask for, with rubbish behind the reviews' ends."""
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, options.vocabulary_size, (len(LENGTHS), WIDTH)).astype(np.int32)
    lengths = np.array(LENGTHS, np.int32)
    tokens[0, 0] = options.unknown
    rows, weights = padded_rows(tokens, lengths, options.vocabulary_size, *table_of(options))
    features = rng.normal(size=(len(LENGTHS), FEATURES)).astype(np.float32)
    return {"tokens": tokens, "lengths": lengths, "rows": rows, "row_weights": weights,
            "features": features}


def table_of(options: ModelOptions[Any]) -> tuple[int, int]:
    """Words of the longest n-gram, and buckets."""
    table = options.table or Ngrams(ngrams=1, buckets=1)
    return table.ngrams, table.buckets


def bundle_of(options: ModelOptions[Any], weights: dict[str, np.ndarray] | None = None) -> Bundle:
    model = {"options": options_mapping(options), "classes": ["negative", "positive"]}
    return Bundle(Path("model"), model, weights or {}, Recipe(), [])


def session_of(file: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def logits_of(session: onnxruntime.InferenceSession, given: dict[str, np.ndarray]) -> np.ndarray:
    return session.run(None, {one.name: given[one.name] for one in session.get_inputs()})[0]


@pytest.mark.parametrize(("model", "layers", "bidirectional", "pooling", "outputs"), EVERY)
def test_a_graph_gives_the_logits_of_torch_for_mixed_lengths(
    model: str, layers: int, bidirectional: bool, pooling: str, outputs: int
) -> None:
    options = small(model, layers, bidirectional, pooling, outputs)
    net, given = trained(options), inputs_of(options)
    tensors = [torch.from_numpy(given["tokens"]), torch.from_numpy(given["lengths"]).long()]
    if options.model == "mlp":
        tensors.append(torch.from_numpy(given["features"]))
    with torch.inference_mode():
        wanted = net(*tensors).numpy().reshape(len(LENGTHS), outputs)
    assert np.ptp(wanted) > 0.01
    session = session_of(onnx_file(options, weights_of(net)))
    np.testing.assert_allclose(logits_of(session, given), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", ["lstm", *OTHERS])
def test_a_graph_takes_one_review_and_any_length(model: str) -> None:
    options = small(model, 2, True)
    session = session_of(onnx_file(options, weights_of(trained(options))))
    given = inputs_of(options)
    together = logits_of(session, given)
    for row, length in enumerate(LENGTHS):
        tokens = given["tokens"][row : row + 1, :length]
        lengths = given["lengths"][row : row + 1]
        rows, weights = padded_rows(tokens, lengths, options.vocabulary_size, *table_of(options))
        alone = logits_of(session, {
            "tokens": tokens, "lengths": lengths, "rows": rows, "row_weights": weights,
            "features": given["features"][row : row + 1]})
        np.testing.assert_allclose(alone[0], together[row], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("model", "layers", "bidirectional", "pooling", "outputs"), EVERY)
def test_a_record_names_the_tensors_that_torch_builds(
    model: str, layers: int, bidirectional: bool, pooling: str, outputs: int
) -> None:
    options = small(model, layers, bidirectional, pooling, outputs)
    built = {name: value.shape for name, value in build(options).state_dict().items()}
    assert RECORDS[options.model].tensors(options) == built


def test_the_same_weights_make_the_same_bytes() -> None:
    options = small("bilstm-attention+ngrams")
    weights = weights_of(trained(options))
    assert onnx_file(options, weights) == onnx_file(options, weights)


def test_double_weights_become_single_ones() -> None:
    options = small("gru")
    given, net = inputs_of(options), trained(options)
    single = logits_of(session_of(onnx_file(options, weights_of(net))), given)
    double = logits_of(session_of(onnx_file(options, weights_of(net.double()))), given)
    np.testing.assert_array_equal(single, double)


def test_the_options_of_a_bundle_are_read_and_an_unknown_model_is_named() -> None:
    options = small("lstm")
    assert options_mapping(options_of(bundle_of(options))) == options_mapping(options)
    unknown = bundle_of(options)
    unknown.model["options"]["model"] = "oracle"
    with pytest.raises(UserError, match="this program knows no model 'oracle'"):
        options_of(unknown)


@pytest.mark.parametrize(("name", "value", "message"), [
    ("pooling", None, "has no pooling"), ("padding", None, "has no padding"),
    ("filters", 3, "unknown key 'filters'"), ("layer", 1, "unknown key 'layer'; did you mean"),
    ("layers", "1", "layers is '1', not a whole number"), ("layers", 0, "do not fit model.json"),
    ("layers", 1 << 40, "do not fit model.json"), ("pooling", "best", "pooling is 'best', not one"),
])
def test_options_that_a_model_cannot_have_are_refused(name: str, value: Any, message: str) -> None:
    bundle = bundle_of(small("lstm"))
    options = bundle.model["options"]
    if value is None:
        del options[name]
    else:
        options[name] = value
    with pytest.raises(UserError, match=re.escape(message)):
        options_of(bundle)


def test_weights_of_another_model_are_refused() -> None:
    options = small("lstm")
    check_shapes(bundle_of(options, weights_of(trained(options))), options)
    with pytest.raises(UserError, match=r"the weights do not fit model\.json"):
        check_shapes(bundle_of(options, weights_of(trained(small("gru")))), options)
