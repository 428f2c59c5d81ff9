"""Encoder of Hugging Face's transformers with a head of two layers over each review's first id."""

import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from models.encoder import ARCHITECTURES, PREFIX, EncoderShape, encoder_tensors
from models.nets.dropout import LAYERS, POOLED, DropoutRandom, drop
from models.nets.embedding import Embedding
from models.options import ModelOptions
from models.transformer import HEAD_WIDTH, TransformerNetwork
from reviews.errors import UserError
from reviews.runtime.quick_imports import load_meta_kernels
from reviews.storage.files import reason


class Transformer(nn.Module):
    """Encoder, dropout, a ReLU layer, half the dropout, logits.

    The encoder's own dropout, which belongs to no review, is off: so an update does not depend on
    how it is divided.
    """

    def __init__(self, options: ModelOptions[TransformerNetwork]) -> None:
        super().__init__()
        self.options = options
        self.encoder = _new_encoder(options.network.shape, options.vocabulary_size)
        self.hidden = nn.Linear(options.network.shape.width, HEAD_WIDTH)
        self.output = nn.Linear(HEAD_WIDTH, options.outputs)

    def forward(
        self, tokens: Tensor, lengths: Tensor, draws: DropoutRandom | None = None
    ) -> Tensor:
        """Logits (n,) or (n, C); arguments as those of Recurrent."""
        shape, dropout = self.options.network.shape, self.options.network.dropout
        tokens, lengths = with_special_ids(tokens, lengths, shape.prefix, shape.suffix)
        steps = torch.arange(tokens.shape[1], device=tokens.device)
        inside = steps < lengths[:, None]  # (n, T)
        states = self.encoder(
            input_ids=tokens, attention_mask=inside[:, None, None],
            position_ids=(steps + shape.first_position)[None]).last_hidden_state  # (n, T, D)
        pooled = drop(states[:, 0], draws, POOLED, dropout)
        hidden = drop(self.hidden(pooled).relu(), draws, LAYERS, dropout / 2)
        return self.output(hidden).squeeze(1)

    def train_last(self, layers: int) -> None:
        """Have the encoder's last layers alone learn, and the head."""
        first = self.options.network.shape.encoder_layers - layers
        for name, parameter in self.encoder.named_parameters():
            parameter.requires_grad_(self._depth(name) > first)

    def keep_no_activations(self) -> None:
        """Compute what lies inside of a layer again in the backward pass."""
        self.encoder.activation_checkpointing_enable({"use_reentrant": False})

    def parameter_groups(self, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
        """Parameter groups of those that learn: vectors (biases, factors of norms) do not decay,
        and the rate of a layer is layer_decay times that of the next (Sun et al. 2019)."""
        groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
        layers = self.options.network.shape.encoder_layers
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                inside = name.startswith(PREFIX)
                below = layers - self._depth(name.removeprefix(PREFIX)) if inside else 0
                groups.setdefault((below, parameter.ndim > 1), []).append(parameter)
        return [{"params": parameters, "scale": layer_decay**below,
                 "weight_decay": weight_decay if decays else 0.0}
                for (below, decays), parameters in groups.items()]

    def _depth(self, name: str) -> int:
        """The number of the layer, from 1, of one of the encoder's parameters; 0: embeddings."""
        layers = ARCHITECTURES[self.options.network.shape.architecture].layers + "."
        if not name.startswith(layers):
            return 0
        return 1 + int(name.removeprefix(layers).split(".")[0])

    @torch.no_grad()
    def begin_with(self, file: Path) -> None:
        """Take the encoder's weights from a model.safetensors of Hugging Face.

        Rows of ids that the tokenizer does not have are left out. UserError where one is missing
        or of another shape.
        """
        own = self.encoder.state_dict()
        found = _read_weights(file, self.options.network.shape, self.options.vocabulary_size)
        for name, value in own.items():
            value.copy_(found[name])


def with_special_ids(
    tokens: Tensor, lengths: Tensor, prefix: tuple[int, ...], suffix: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Tokens (n, T + k) and lengths (n,) with k ids around every review: those of `prefix` before
    its first token, those of `suffix` behind its last."""
    before, around = len(prefix), len(prefix) + len(suffix)
    if not around:
        return tokens, lengths
    n, width = tokens.shape
    framed = tokens.new_zeros(n, width + around)
    framed[:, :before] = tokens.new_tensor(prefix)
    framed[:, before : before + width] = tokens
    for place, number in enumerate(suffix):
        framed[torch.arange(n, device=tokens.device), before + lengths + place] = number
    return framed, lengths + around


def _new_encoder(shape: EncoderShape, vocabulary_size: int) -> Any:
    """The encoder with random weights; nothing is fetched from anywhere."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    load_meta_kernels()
    try:
        import transformers
    except ImportError:
        raise UserError("a model of the kind transformer needs transformers: pip install "
                        "'reviewmill[transformers]'") from None
    common = {"vocab_size": vocabulary_size, "max_position_embeddings": shape.positions}
    if shape.architecture == "distilbert":
        config = transformers.DistilBertConfig(
            **common, dim=shape.width, n_layers=shape.encoder_layers, n_heads=shape.heads,
            hidden_dim=shape.feed_forward, activation=shape.activation, dropout=0.0,
            attention_dropout=0.0, pad_token_id=None)
        encoder = transformers.DistilBertModel(config)
    else:
        bert = shape.architecture == "bert"
        kind = transformers.BertConfig if bert else transformers.RobertaConfig
        config = kind(
            **common, hidden_size=shape.width, num_hidden_layers=shape.encoder_layers,
            num_attention_heads=shape.heads, intermediate_size=shape.feed_forward,
            hidden_act=shape.activation, hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0, type_vocab_size=shape.token_types,
            layer_norm_eps=shape.epsilon,
            pad_token_id=None if bert else shape.first_position - 1)
        model = transformers.BertModel if bert else transformers.RobertaModel
        encoder = model(config, add_pooling_layer=False)
    encoder.set_input_embeddings(Embedding(vocabulary_size, shape.width))
    return encoder


def _read_weights(file: Path, shape: EncoderShape, vocabulary_size: int) -> dict[str, Tensor]:
    """The encoder's tensors of a file, by their names without `encoder.` before them."""
    found = {}
    try:
        with safe_open(file, framework="pt") as tensors:
            there = set(tensors.keys())
            for full, size in encoder_tensors(shape, vocabulary_size).items():
                name = full.removeprefix(PREFIX)
                aliases = _aliases(name, shape.architecture)
                alias = next((one for one in aliases if one in there), None)
                if alias is None:
                    raise UserError(f"{file} has no tensor {name}")
                value = tensors.get_tensor(alias)
                if name.endswith("word_embeddings.weight"):
                    value = value[: size[0]]
                if value.shape != size:
                    raise UserError(f"{file}: {alias} has the shape {tuple(value.shape)}, not "
                                    f"{size}")
                found[name] = value
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file} cannot be read: {reason(error)}") from None
    return found


def _aliases(name: str, architecture: str) -> list[str]:
    """Names that files have for a tensor: with the model's name before it, and, in old ones,
    gamma and beta in layers that normalize."""
    old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta")
    return [before + one for before in ("", f"{architecture}.")
            for one in (name, old)]
