"""Trainings that `bench gpu` measures, and the floating-point operations of each."""

from dataclasses import dataclass
from typing import Any

from models.encoder import EncoderShape
from models.options import ModelOptions
from models.recurrent import RecurrentConfig
from models.transformer import TransformerConfig, TransformerNetwork
from mpi_train.configuration.config import TrainingConfig
from mpi_train.configuration.resolve import layered
from reviews.store import Store

# DistilBERT's: with random weights, its speed is that of any other.
DISTILBERT = EncoderShape(
    architecture="distilbert", width=768, encoder_layers=6, heads=12, feed_forward=3072,
    positions=512, first_position=0, token_types=0, activation="gelu", epsilon=1e-12)
DISTILBERT_IDS = 30_522
BACKWARD = 3  # the backward pass takes twice the operations of the forward one


@dataclass(frozen=True)
class Workload:
    """A training at some batch sizes.

    chosen: `--config` or `--model`, and its value.
    most_tokens: of a micro-batch that is tried.
    """

    title: str
    chosen: tuple[str, str]
    batches: tuple[int, ...]
    precisions: tuple[str, ...] = ("fp32", "bf16")
    most_tokens: int = 1 << 20

    def configuration(self, store: Store, **options: Any) -> TrainingConfig:
        """Its configuration with some options of its own."""
        name, value = self.chosen
        return layered({name: value, "store": str(store.path), **options})

    def model_options(self, config: TrainingConfig, store: Store) -> ModelOptions[Any]:
        """Options of its model on a store."""
        if not isinstance(config.network, TransformerConfig):
            return config.model_options(store)
        return ModelOptions(
            model=config.model, network=config.network.with_shape(DISTILBERT),
            vocabulary_size=max(store.vocabulary_size, DISTILBERT_IDS), padding=store.padding,
            unknown=store.unknown)


# By the names of --only. The work of 2019 had 8 GPUs with a batch of 128 each.
WORKLOADS = {
    "2019": Workload("LSTM of 2019, 100 -> 32 x 2", ("config", "rnn2019"), (1024, 16_384, 65_536)),
    "default": Workload("default", ("config", "default"), (128, 8192)),
    "views": Workload("views", ("config", "views"), (256, 8192)),
    "bag": Workload("bag", ("model", "bag"), (1024, 16_384), ("fp32",)),
    "distilbert": Workload("DistilBERT of random weights", ("model", "transformer"), (32, 512),
                           most_tokens=1 << 16),
}


def operations(options: ModelOptions[Any], tokens_of_a_review: float) -> float:
    """Floating-point operations of a padded token in products, forward and backward; 0 for a bag,
    which only reads and adds."""
    network = options.network
    if isinstance(network, TransformerNetwork):
        shape = network.shape
        products = 4 * shape.width**2 + 2 * shape.width * shape.feed_forward
        attention = 2 * shape.width * tokens_of_a_review
        return BACKWARD * 2 * shape.encoder_layers * (products + attention)
    if not isinstance(network, RecurrentConfig):
        return 0.0
    gates, directions = (4 if options.model == "lstm" else 3), 1 + network.bidirectional
    total, width = 0, network.embedding_dim
    for _ in range(network.layers):
        total += directions * gates * network.hidden_dim * (width + network.hidden_dim)
        width = directions * network.hidden_dim
    return BACKWARD * 2.0 * total
