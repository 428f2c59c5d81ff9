"""Folders of encoders: what is read of them, and what is refused in one line."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.encoder import EncoderShape
from models.encoder_folder import fitted_shape, read_encoder
from reviews.errors import UserError
from reviews.store import Store
from tests.encoders import POSITIONS, make_encoder
from tests.stores import make_store


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoders") / "bert"
    make_encoder(folder)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    copy = tmp_path / "encoder"
    copy.mkdir()
    for file in original.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def test_the_shape_is_that_of_the_config(folder: Path) -> None:
    encoder = read_encoder(folder)
    assert encoder.shape == EncoderShape(
        "bert", width=16, encoder_layers=2, heads=2, feed_forward=24, positions=POSITIONS,
        first_position=0, token_types=2, activation="gelu", epsilon=1e-12)


def test_roberta_counts_positions_from_the_one_behind_padding(tmp_path: Path) -> None:
    make_encoder(tmp_path / "roberta", "roberta")
    shape = read_encoder(tmp_path / "roberta").shape
    assert (shape.architecture, shape.first_position, shape.token_types) == ("roberta", 2, 2)


def _config(folder: Path, **values: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def _only_pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


CHANGES: list[tuple[Callable[[Path], Any], str]] = [
    (_only_pickled, r"pytorch_model\.bin is pickled"),
    (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
    (lambda folder: (folder / "tokenizer.json").unlink(), r"has no tokenizer\.json"),
    (lambda folder: (folder / "config.json").unlink(), "config.json: No such file"),
    (lambda folder: (folder / "config.json").write_text("{"), "config.json: .*--encoder names a"),
    (lambda folder: (folder / "config.json").write_text("[]"), "is no mapping"),
    (lambda folder: _config(folder, model_type="t5"), "model_type is 't5', not one of bert, "),
    (lambda folder: _config(folder, is_decoder=True), "is a decoder"),
    (lambda folder: _config(folder, position_embedding_type="relative_key"), "relative positions"),
    (lambda folder: _config(folder, hidden_act="silu"), "activation is 'silu', not one of gelu"),
    (lambda folder: _config(folder, num_attention_heads=3), "3 heads do not divide a width of 16"),
    (lambda folder: _config(folder, layer_norm_eps="small"), "layer_norm_eps is 'small'"),
    (lambda folder: _config(folder, num_hidden_layers=0), "num_hidden_layers is 0, not a whole"),
    (lambda folder: _config(folder, vocab_size=True), "vocab_size is True"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES, ids=[text for _, text in CHANGES])
def test_what_is_no_encoder_is_refused_in_one_line(
    folder: Path, change: Callable[[Path], Any], message: str
) -> None:
    change(folder)
    with pytest.raises(UserError, match=message) as refused:
        read_encoder(folder)
    assert "\n" not in str(refused.value)


def store_of(folder: Path, tokenizer: Path | None, length: int = 32, vocabulary: int = 30) -> Store:
    """A store of random ids that says that they are those of a tokenizer."""
    store = make_store(folder, {"train": 20}, length=length, vocabulary=vocabulary)
    if tokenizer is not None:
        (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
        store.manifest["files"]["tokenizer.json"] = {}
    return store


def test_rows_of_words_and_of_another_tokenizer_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has words, not the tokens of an encoder: prepare it wi"):
        fitted_shape(folder, store_of(tmp_path / "words", None))
    store = store_of(tmp_path / "other", folder / "tokenizer.json")
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + "\n")
    with pytest.raises(UserError, match="has the tokens of another tokenizer than"):
        fitted_shape(folder, store)


def test_rows_that_are_longer_than_the_encoder_reads_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    tokenizer = folder / "tokenizer.json"
    assert fitted_shape(folder, store_of(tmp_path / "fits", tokenizer, POSITIONS))
    with pytest.raises(UserError, match=f"reads {POSITIONS}: prepare it with --length {POSITIONS}"):
        fitted_shape(folder, store_of(tmp_path / "long", tokenizer, POSITIONS + 1))


def test_a_tokenizer_with_more_ids_than_the_encoder_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    _config(folder, vocab_size=31)
    with pytest.raises(UserError, match="has vectors for 31 ids, and its tokenizer has 32"):
        fitted_shape(folder, store_of(tmp_path / "store", folder / "tokenizer.json"))


def test_special_ids_that_a_tokenizer_does_not_add_are_the_models_part(tmp_path: Path) -> None:
    make_encoder(tmp_path / "bare", framed=False)
    shape = read_encoder(tmp_path / "bare").shape
    tokenizer = tmp_path / "bare" / "tokenizer.json"
    store = store_of(tmp_path / "store", tokenizer, POSITIONS - 2)
    assert fitted_shape(tmp_path / "bare", store) == dataclasses.replace(
        shape, prefix=(2,), suffix=(3,))
    with pytest.raises(UserError, match=f"the encoder reads {POSITIONS - 2}"):
        fitted_shape(tmp_path / "bare", store_of(tmp_path / "long", tokenizer, POSITIONS - 1))
    text = tokenizer.read_text().replace("[CLS]", "[first]")
    tokenizer.write_text(text)
    with pytest.raises(UserError, match=r"has no \[CLS\] or <s> to stand before a review"):
        fitted_shape(tmp_path / "bare", store_of(tmp_path / "none", tokenizer))
