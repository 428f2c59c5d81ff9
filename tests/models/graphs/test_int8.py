"""Graphs in 8 bits compute what their integers say, the same in every batch."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from models.graphs.graph import Graph
from models.graphs.int8 import Int8Graph, quantize, with_equal_columns
from models.options import ModelOptions
from models.records import RECORDS, onnx_file, options_of
from reviews.bundle import read_bundle
from scoring.model import OnnxModel, open_session
from tests.encoders import KINDS, make_encoder
from tests.models.test_transformer import model_of
from tests.scoring.bundles import LENGTH, WORDS, make_bundle

Array = np.ndarray
Made = tuple[ModelOptions[Any], dict[str, Array]]
MODELS = ("lstm", "views", "gru", "bilstm-attention")
LENGTHS = np.array([1, LENGTH, 5, 13, 2, 24], np.int32)
TOKENS = np.random.default_rng(0).integers(1, len(WORDS) + 2, (len(LENGTHS), LENGTH))


def made(folder: Path, model: str, **options: Any) -> Made:
    """Options and weights of a small model."""
    bundle = read_bundle(make_bundle(folder, model, with_onnx=False, **options)[0])
    return options_of(bundle), bundle.weights


def of_encoder(folder: Path, kind: str) -> Made:
    make_encoder(folder, kind)
    model = model_of(folder)
    return model.options, {name: value.numpy() for name, value in model.state_dict().items()}


def model_in(options: ModelOptions[Any], weights: dict[str, Array], int8: bool) -> OnnxModel:
    """The model by its graph; it is refused where it has an operator that none of ours has."""
    return OnnxModel(onnx_file(options, weights, int8), "model.onnx", options, threads=1)


def constants(file: bytes) -> list[Array]:
    return [numpy_helper.to_array(one) for one in onnx.load_from_string(file).graph.initializer]


def run(graph: Graph, result: str, **feed: Array) -> Array:
    """The output of a graph of one layer."""
    found: Array = open_session(graph.serialize(result), "graph", 1).run(None, feed)[0]
    return found


@pytest.mark.parametrize("largest", [63, 127])
@pytest.mark.parametrize("axis", [0, 1])
def test_integers_times_scale_are_the_values_within_half_a_step(axis: int, largest: int) -> None:
    values = np.random.default_rng(1).normal(size=(7, 9)).astype(np.float32)
    values[3], values[:, 2] = 0, 0
    integers, scale = quantize(values, axis, largest)
    assert integers.dtype == np.int8 and scale.shape[axis] == 1
    assert np.abs(integers).max() == largest
    assert np.all(np.abs(integers * scale - values) <= 0.501 * scale)


def test_equal_columns_leave_the_model_as_it_is(tmp_path: Path) -> None:
    options, weights = made(tmp_path, "views")
    changed = with_equal_columns(weights)
    np.testing.assert_allclose(np.abs(changed["embedding.weight"]).max(0), 127, rtol=1e-6)
    found, wanted = (model_in(options, some, False).run_batch(TOKENS, LENGTHS)
                     for some in (changed, weights))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_logits_are_near_those_of_float32_and_the_same_in_every_batch(
    model: str, tmp_path: Path
) -> None:
    options, weights = made(tmp_path, model)
    wanted = model_in(options, weights, False).run_batch(TOKENS, LENGTHS)
    graph = model_in(options, weights, True)
    found = graph.run_batch(TOKENS, LENGTHS)
    assert np.abs(found - wanted).max() < 0.1 * np.ptp(wanted)
    for row, length in enumerate(LENGTHS):
        alone = graph.run_batch(TOKENS[row : row + 1, :length], LENGTHS[row : row + 1])
        np.testing.assert_allclose(alone[0], found[row], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_is_near_float32_and_the_same_in_every_batch(kind: str, tmp_path: Path) -> None:
    options, weights = of_encoder(tmp_path / kind, kind)
    tokens = TOKENS % (options.vocabulary_size - 4) + 4
    wanted = model_in(options, weights, False).run_batch(tokens, LENGTHS)
    graph = model_in(options, weights, True)
    found = graph.run_batch(tokens, LENGTHS)
    assert 0 < np.abs(found - wanted).max() < 0.15 * np.ptp(wanted)
    for row, length in enumerate(LENGTHS):
        alone = graph.run_batch(tokens[row : row + 1, :length], LENGTHS[row : row + 1])
        np.testing.assert_allclose(alone[0], found[row], rtol=0, atol=1e-5)


def logistic(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def in_255_steps(values: Array, low: float, high: float) -> Array:
    """Values as an 8-bit input that reaches from low to high has them."""
    scale = (high - low) / 255
    middle = np.round(-low / scale)
    return (np.clip(np.round(values / scale) + middle, 0, 255) - middle) * scale


def lstm(x: Array, w: Array, r: Array, b: Array, length: int) -> Array:
    """Outputs (T, H) of one review x (T, E), whose states are rounded between the words; weights
    in ONNX's order: w (4 H, E), r (4 H, H), b (8 H)."""
    hidden = r.shape[1]
    output, cell, outputs = np.zeros(hidden), np.zeros(hidden), []
    for vector in x[:length]:
        gates = (w @ vector + r @ in_255_steps(output, -1, 1)
                 + b[: 4 * hidden] + b[4 * hidden :])
        taken, shown, kept, new = np.split(gates, 4)
        cell = logistic(kept) * cell + logistic(taken) * np.tanh(new)
        output = logistic(shown) * np.tanh(cell)
        outputs.append(output)
    return np.array(outputs)


def test_an_lstm_is_that_of_its_integers() -> None:
    rng, hidden, width = np.random.default_rng(2), 6, 8
    w = rng.normal(size=(2, 4 * hidden, width)).astype(np.float32)
    r = rng.normal(size=(2, 4 * hidden, hidden)).astype(np.float32)
    b = rng.normal(size=(2, 8 * hidden)).astype(np.float32)
    x = rng.uniform(-1, 1, (LENGTH, len(LENGTHS), width)).astype(np.float32)
    graph = Int8Graph({})
    outputs, _ = graph.recurrent("LSTM", graph.constant(x), w, r, b)
    found = run(graph, outputs, lengths=LENGTHS)  # (T, 2, n, H)
    assert found.shape == (LENGTH, 2, len(LENGTHS), hidden)
    w, r = (np.multiply(*quantize(value, 2, 63)) for value in (w, r))
    rounded = in_255_steps(x.astype(np.float64), -1, 1)
    for row, length in enumerate(LENGTHS):
        forwards = lstm(rounded[:, row], w[0], r[0], b[0], length)
        backwards = lstm(rounded[:length, row][::-1], w[1], r[1], b[1], length)[::-1]
        for direction, wanted in enumerate((forwards, backwards)):
            np.testing.assert_allclose(
                found[:length, direction, row], wanted, rtol=0, atol=1e-3)
        assert not found[length:, :, row].any()


def test_a_dense_layer_is_that_of_its_integers() -> None:
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(3, 5, 16)) * 10.0 ** rng.integers(-3, 3, (3, 5, 1))).astype(np.float32)
    x[1, 2] = 0
    weight, bias = (rng.normal(size=shape).astype(np.float32) for shape in ((7, 16), (7,)))
    graph = Int8Graph({})
    found = run(graph, graph.dense(graph.constant(x), weight, bias))
    (rows, size), (integers, scale) = quantize(x, 2, 127), quantize(weight, 1, 63)
    sums = rows.astype(np.int64) @ integers.astype(np.int64).T
    np.testing.assert_allclose(found, sums * size * scale[:, 0] + bias, rtol=1e-5, atol=1e-6)


def test_weights_that_meet_8_bit_inputs_have_7_bits(tmp_path: Path) -> None:
    options, weights = of_encoder(tmp_path / "bert", "bert")
    file = onnx.load_from_string(onnx_file(options, weights, int8=True))
    stored = {one.name: numpy_helper.to_array(one) for one in file.graph.initializer}
    products = [node for node in file.graph.node if node.op_type == "MatMulInteger"]
    assert len(products) == 6 * 2 + 1  # of each of two layers, and the head's
    for node in products:
        assert np.abs(stored[node.input[1]]).max() == 63
    options, weights = made(tmp_path / "lstm", "lstm")
    file = onnx.load_from_string(onnx_file(options, weights, int8=True))
    stored = {one.name: numpy_helper.to_array(one) for one in file.graph.initializer}
    layers = [node for node in file.graph.node if node.op_type == "DynamicQuantizeLSTM"]
    assert len(layers) == options.network.depth
    for node in layers:
        assert np.abs(stored[node.input[1]]).max() == np.abs(stored[node.input[2]]).max() == 63


@pytest.mark.parametrize("model", MODELS)
def test_tables_and_layers_take_a_byte_for_each_number(model: str, tmp_path: Path) -> None:
    options, weights = made(tmp_path, model, embedding_dim=64, hidden_dim=64)
    floats, integers = (onnx_file(options, weights, int8) for int8 in (False, True))
    assert {one.dtype for one in constants(floats) if one.size > 1000} == {np.dtype("f4")}
    attention = weights.get("attention.weight", np.empty(0)).size
    assert {one.dtype for one in constants(integers)
            if one.size > 2000 and one.size != attention} == {np.dtype("i1")}
    assert len(integers) < (len(floats) - 4 * attention) / 3 + 4 * attention


def test_models_that_are_not_written_in_8_bits() -> None:
    assert [name for name, record in RECORDS.items() if not record.int8] == ["cnn", "bag", "mlp"]
