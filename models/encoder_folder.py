"""Folder of a pre-trained encoder in the layout of Hugging Face: its shape, and what it fits."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.encoder import ACTIVATIONS, ARCHITECTURES, EncoderShape
from reviews.errors import UserError
from reviews.storage.files import reason
from reviews.storage.folders import sha256
from reviews.store import Store

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
# Names that tokenizers give to the ids before and behind a text.
_FIRST, _LAST = ("[CLS]", "<s>"), ("[SEP]", "</s>")
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True)
class EncoderFolder:
    """A folder with config.json, model.safetensors and tokenizer.json.

    Attributes:
        shape: of the encoder, without special ids.
        vocabulary_size: number of ids that it has vectors for.
    """

    path: Path
    shape: EncoderShape
    vocabulary_size: int

    @property
    def weights_file(self) -> Path:
        """The weights."""
        return self.path / WEIGHTS

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer."""
        return self.path / TOKENIZER


def fitted_shape(folder: Path, store: Store) -> EncoderShape:
    """The shape of an encoder on a store, with the special ids that the store's rows lack.

    UserError where the store's ids are not those of the encoder's tokenizer, or its rows are longer
    than the encoder reads.
    """
    encoder, wanted = read_encoder(folder), f"prepare it with --tokenizer huggingface:{folder}"
    if store.tokenizer_file is None:
        raise UserError(f"{store.address} has words, not the tokens of an encoder: {wanted}")
    if sha256(store.tokenizer_file) != sha256(encoder.tokenizer_file):
        raise UserError(f"{store.address} has the tokens of another tokenizer than {folder}: "
                        f"{wanted}")
    if store.vocabulary_size > encoder.vocabulary_size:
        raise UserError(f"{folder} has vectors for {encoder.vocabulary_size:,} ids, and its "
                        f"tokenizer has {store.vocabulary_size:,}")
    shape = _with_special_ids(encoder)
    most = shape.positions - shape.first_position - len(shape.prefix) - len(shape.suffix)
    if store.length > most:
        raise UserError(f"the rows of {store.address} have up to {store.length} tokens, and the "
                        f"encoder reads {most}: prepare it with --length {most}")
    return shape


def _with_special_ids(encoder: EncoderFolder) -> EncoderShape:
    """The shape with the ids before and behind a review, where the tokenizer adds none itself."""
    from reviews.text.subwords import Subwords  # kernels are loaded where they are needed

    coding = Subwords(encoder.tokenizer_file).coding
    if coding.prefix:
        return encoder.shape
    ids = {name: number for number, name in enumerate(coding.words.to_pylist())}
    first, last = (next((ids[name] for name in names if name in ids), None)
                   for names in (_FIRST, _LAST))
    if first is None or last is None:
        raise UserError(f"{encoder.tokenizer_file} has no {' or '.join(_FIRST)} to stand before a "
                        f"review, or no {' or '.join(_LAST)} behind it")
    suffix = () if coding.suffix else (last,)
    return replace(encoder.shape, prefix=(first,), suffix=suffix)


def read_encoder(folder: Path) -> EncoderFolder:
    """The encoder of a folder; UserError where a file is missing or it is none of those known."""
    file = folder / CONFIG
    try:
        config = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: {reason(error)}; --encoder names a folder with {CONFIG}, "
                        f"{WEIGHTS} and {TOKENIZER}") from None
    if not isinstance(config, dict):
        raise UserError(f"{file} is no mapping")
    _check_files(folder)
    architecture = config.get("model_type")
    if architecture not in ARCHITECTURES:
        raise UserError(f"{file}: model_type is {architecture!r}, not one of "
                        + ", ".join(ARCHITECTURES))
    if config.get("position_embedding_type", "absolute") != "absolute" or config.get("is_decoder"):
        raise UserError(f"{file}: the encoder has relative positions or is a decoder: only one of "
                        "absolute positions that reads both ways is known")
    return _read(folder, architecture, _Config(config, file))


def _check_files(folder: Path) -> None:
    if not (folder / WEIGHTS).is_file():
        pickled = sorted(path.name for kind in _PICKLED for path in folder.glob(kind))
        if pickled:
            raise UserError(f"{folder} has no {WEIGHTS}: {pickled[0]} is pickled, and unpickling "
                            "runs code; save the model as safetensors")
        raise UserError(f"{folder} has no weights: {WEIGHTS} is missing")
    if not (folder / TOKENIZER).is_file():
        raise UserError(f"{folder} has no {TOKENIZER}")


def _read(folder: Path, architecture: str, config: "_Config") -> EncoderFolder:
    distilled = architecture == "distilbert"
    width = config.number("dim" if distilled else "hidden_size")
    heads = config.number("n_heads" if distilled else "num_attention_heads")
    if width % heads:
        raise UserError(f"{config.file}: {heads} heads do not divide a width of {width}")
    activation = config.get("activation" if distilled else "hidden_act", "gelu")
    if activation not in ACTIVATIONS:
        raise UserError(f"{config.file}: the activation is {activation!r}, not one of "
                        + ", ".join(ACTIVATIONS))
    epsilon = 1e-12 if distilled else config.get("layer_norm_eps", 1e-12)
    if not isinstance(epsilon, float) or not 0 < epsilon < 1:
        raise UserError(f"{config.file}: layer_norm_eps is {epsilon!r}, not a small number")
    # RoBERTa counts positions from the one behind that of padding.
    first = config.number("pad_token_id", 1, least=0) + 1 if architecture == "roberta" else 0
    shape = EncoderShape(
        architecture, width=width,
        encoder_layers=config.number("n_layers" if distilled else "num_hidden_layers"),
        heads=heads, feed_forward=config.number("hidden_dim" if distilled else "intermediate_size"),
        positions=config.number("max_position_embeddings", 512), first_position=first,
        token_types=0 if distilled else config.number("type_vocab_size", 2),
        activation=activation, epsilon=epsilon)
    return EncoderFolder(folder, shape, config.number("vocab_size"))


class _Config:
    """The values of a config.json."""

    def __init__(self, values: Mapping[str, Any], file: Path) -> None:
        self._values, self.file = values, file

    def get(self, name: str, otherwise: Any) -> Any:
        """A value, or another one where the file has none."""
        return self._values.get(name, otherwise)

    def number(self, name: str, otherwise: int | None = None, least: int = 1) -> int:
        """A whole number of at least so much; UserError where it is none."""
        value = self._values.get(name, otherwise)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 1 << 31:
            raise UserError(f"{self.file}: {name} is {value!r}, not a whole number of {least} or "
                            "more")
        return value
