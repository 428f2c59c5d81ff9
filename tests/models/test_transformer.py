"""Encoders give the states of transformers' own classes, in torch and in ONNX."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.encoder_folder import read_encoder
from models.nets import build
from models.nets.dropout import DropoutRandom
from models.nets.transformer import with_special_ids
from models.options import ModelOptions
from models.records import RECORDS, make_options, onnx_file
from reviews.errors import UserError
from scoring.model import OnnxModel
from tests.encoders import KINDS, make_encoder

LONGEST = 126
LENGTHS = (1, 5, 100, LONGEST, 5)
FRAME = {"prefix": (2, 7), "suffix": (3,)}


def options_of(folder: Path, **others: Any) -> ModelOptions[Any]:
    """Options of a model of the encoder in a folder."""
    encoder = read_encoder(folder)
    values = {"dropout": 0.0, "padding": 0, "unknown": 1,
              "vocabulary_size": encoder.vocabulary_size, **vars(encoder.shape), **others}
    return make_options("transformer", **values)


def model_of(folder: Path, **others: Any) -> Any:
    """A model that begins with the encoder of a folder."""
    torch.manual_seed(4)
    model = build(options_of(folder, **others))
    model.begin_with(folder / "model.safetensors")
    with torch.no_grad():
        model.output.weight.mul_(4)
    return model


def inputs(model: Any, rows: int = len(LENGTHS)) -> tuple[Tensor, Tensor]:
    """Tokens (n, T) with rubbish behind their ends, and lengths (n,)."""
    numbers = np.random.default_rng(0).integers(
        4, model.options.vocabulary_size, (rows, LONGEST))
    lengths = torch.tensor([LENGTHS[row % len(LENGTHS)] for row in range(rows)])
    return torch.from_numpy(numbers), lengths


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def encoder(kind: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder, and the model of transformers in it."""
    folder = tmp_path_factory.mktemp("encoder") / kind
    return folder, make_encoder(folder, kind)


@pytest.fixture(scope="module")
def folder(encoder: tuple[Path, Any]) -> Path:
    return encoder[0]


def test_a_padded_batch_gives_the_states_of_transformers_for_each_review_alone(
    encoder: tuple[Path, Any],
) -> None:
    model = model_of(encoder[0])
    tokens, lengths = inputs(model)
    with torch.inference_mode():
        found = model(tokens, lengths)
        for row, length in enumerate(LENGTHS):
            first = encoder[1](input_ids=tokens[row : row + 1, :length]).last_hidden_state[:, 0]
            wanted = model.output(model.hidden(first).relu())[0, 0]
            torch.testing.assert_close(found[row], wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("around", [{}, FRAME], ids=["as stored", "framed"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_a_graph_gives_the_logits_of_torch_for_mixed_lengths_and_alone(
    folder: Path, around: dict[str, Any], outputs: int
) -> None:
    model = model_of(folder, outputs=outputs, **around)
    tokens, lengths = inputs(model)
    if around:
        tokens, lengths = tokens[:, : LONGEST - 3], lengths.clamp(max=LONGEST - 3)
    with torch.inference_mode():
        wanted = model(tokens, lengths).numpy().reshape(len(lengths), outputs)
    assert np.ptp(wanted) > 0.05
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    # It is refused where it has an operation that no other graph has.
    graph = OnnxModel(onnx_file(model.options, weights), "model.onnx", model.options, 1)
    found = graph.run_batch(tokens.numpy(), lengths.numpy().astype(np.int32))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    for row, length in enumerate(lengths.tolist()):
        alone = graph.run_batch(tokens[row : row + 1, :length].numpy(),
                                np.array([length], np.int32))
        np.testing.assert_allclose(alone[0], wanted[row], rtol=0, atol=1e-5)


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_both_activations_are_those_of_transformers(activation: str, tmp_path: Path) -> None:
    original = make_encoder(tmp_path / "encoder", hidden_act=activation)
    model = model_of(tmp_path / "encoder")
    assert model.options.network.shape.activation == activation
    tokens, lengths = inputs(model, 1)
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    graph = OnnxModel(onnx_file(model.options, weights), "model.onnx", model.options, 1)
    with torch.inference_mode():
        first = original(input_ids=tokens[:, :1]).last_hidden_state[:, 0]
        wanted = model.output(model.hidden(first).relu()).numpy()
        np.testing.assert_allclose(model(tokens, lengths)[:, None], wanted, atol=1e-5)
    found = graph.run_batch(tokens.numpy(), lengths.numpy().astype(np.int32))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_the_record_names_the_tensors_that_torch_builds(folder: Path) -> None:
    model = build(options_of(folder))
    built = {name: value.shape for name, value in model.state_dict().items()}
    assert RECORDS["transformer"].tensors(model.options) == built


def test_special_ids_stand_around_each_review_at_its_own_end() -> None:
    tokens, lengths = with_special_ids(
        torch.tensor([[5, 6, 9], [8, 9, 9]]), torch.tensor([3, 1]), (2, 7), (3,))
    assert lengths.tolist() == [6, 4]
    assert tokens[0].tolist() == [2, 7, 5, 6, 9, 3]
    assert tokens[1, :4].tolist() == [2, 7, 8, 3]


def test_what_lies_behind_a_reviews_end_changes_neither_logit_nor_gradient(folder: Path) -> None:
    found = []
    for rubbish in (0, 5):
        model = model_of(folder, dropout=0.3).double()
        tokens, lengths = inputs(model)
        tokens[torch.arange(LONGEST) >= lengths[:, None]] = rubbish
        logits = model(tokens, lengths, DropoutRandom.of(1, 2, 3, torch.arange(len(lengths))))
        logits.sum().backward()
        found.append([logits.detach(), *(one.grad for one in model.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_dropout_is_that_of_the_head_and_belongs_to_the_review(folder: Path) -> None:
    model = model_of(folder, dropout=0.5).double()
    tokens, lengths = inputs(model)
    whole = model(tokens, lengths, DropoutRandom.of(0, 0, 0, torch.arange(5)))
    parts = [model(tokens[i : i + 1], lengths[i : i + 1],
                   DropoutRandom.of(0, 0, 0, torch.arange(i, i + 1))) for i in range(5)]
    torch.testing.assert_close(whole, torch.cat(parts), rtol=1e-10, atol=1e-12)
    assert (whole - model(tokens, lengths)).abs().min() > 1e-6
    # Without draws nothing is random.
    torch.testing.assert_close(model(tokens, lengths), model(tokens, lengths), rtol=0, atol=0)


def test_only_the_last_layers_and_the_head_learn(folder: Path) -> None:
    model = model_of(folder)
    model.train_last(1)
    tokens, lengths = inputs(model)
    model(tokens, lengths).sum().backward()
    learned = {name for name, value in model.named_parameters() if value.grad is not None}
    assert learned == {name for name, _ in model.named_parameters()
                       if "layer.1." in name or not name.startswith("encoder.")}


def test_rates_fall_from_layer_to_layer_and_vectors_do_not_decay(folder: Path) -> None:
    model = model_of(folder)
    names = {value: name for name, value in model.named_parameters()}
    groups = {names[value]: group for group in model.parameter_groups(0.01, 0.5)
              for value in group["params"]}
    assert set(groups) == set(names.values())
    for name, group in groups.items():
        below = 2 if "embeddings" in name else 1 if "layer.0." in name else 0
        assert group["scale"] == 0.5**below
        assert group["weight_decay"] == (0.01 if model.get_parameter(name).ndim > 1 else 0)


def test_activations_that_are_not_kept_save_memory_and_change_no_gradient(folder: Path) -> None:
    kept, gradients = [], []
    for keeps in (True, False):
        model, sizes = model_of(folder).double(), {}
        if not keeps:
            model.keep_no_activations()
        tokens, lengths = inputs(model)

        def keep(value: Tensor, sizes: dict[int, int] = sizes) -> Tensor:
            sizes[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
            return value

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            loss = model(tokens, lengths).sum()
        kept.append(sum(sizes.values()))
        loss.backward()
        gradients.append([value.grad for value in model.parameters()])
    assert kept[1] < 0.5 * kept[0]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_names_of_older_files_and_of_models_with_other_heads_are_known(
    folder: Path, kind: str, tmp_path: Path
) -> None:
    weights = load_file(folder / "model.safetensors")
    renamed = {f"{kind}.{name}".replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"): value for name, value in weights.items()}
    renamed["cls.predictions.bias"] = torch.zeros(3)
    # Rows of ids that the tokenizer has not, as some tables have for the sake of a round number.
    words = f"{kind}.embeddings.word_embeddings.weight"
    renamed[words] = torch.cat([renamed[words], torch.ones(5, 16)]).half()
    save_file(renamed, tmp_path / "old.safetensors")
    model, other = model_of(folder), build(options_of(folder))
    other.begin_with(tmp_path / "old.safetensors")
    for name, value in model.encoder.state_dict().items():
        torch.testing.assert_close(other.encoder.state_dict()[name], value, rtol=0, atol=2e-3)


@pytest.mark.parametrize("change", ["missing", "shape", "cut"])
def test_weights_that_are_not_the_encoders_are_refused(
    change: str, folder: Path, tmp_path: Path
) -> None:
    weights, file = load_file(folder / "model.safetensors"), tmp_path / "model.safetensors"
    name = "embeddings.LayerNorm.bias"
    if change == "missing":
        del weights[name]
    elif change == "shape":
        weights[name] = torch.zeros(15)
    save_file(weights, file)
    if change == "cut":
        file.write_bytes(file.read_bytes()[:100])
    message = {"missing": f"has no tensor {name}", "shape": r"has the shape \(15,\), not \(16,\)",
               "cut": "cannot be read"}[change]
    with pytest.raises(UserError, match=message):
        build(options_of(folder)).begin_with(file)
