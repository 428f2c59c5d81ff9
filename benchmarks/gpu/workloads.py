"""Trainings that `bench gpu` measures, and the floating-point operations of each."""

from dataclasses import dataclass
from typing import Any

from models.options import EncoderShape, ModelOptions
from mpi_train.configuration.config import TrainingConfig
from mpi_train.configuration.resolve import layered
from reviews.store import Store

# DistilBERT's: with random weights, its speed is that of any other.
DISTILBERT = EncoderShape(
    architecture="distilbert", width=768, encoder_layers=6, heads=12, feed_forward=3072,
    positions=512, activation="gelu", epsilon=1e-12)
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

    def model_options(self, config: TrainingConfig, store: Store) -> ModelOptions:
        """Options of its model on a store."""
        if config.model == "transformer":
            return ModelOptions(
                "transformer", config.network.dropout, max(store.vocabulary_size, DISTILBERT_IDS),
                store.padding, store.unknown, shape=DISTILBERT)
        return config.model_options(store)


# By the names of --only. The work of 2019 had 8 GPUs with a batch of 128 each.
WORKLOADS = {
    "2019": Workload("LSTM of 2019, 100 -> 32 x 2", ("config", "rnn2019"), (1024, 16_384, 65_536)),
    "default": Workload("default", ("config", "default"), (128, 8192)),
    "views": Workload("views", ("config", "views"), (256, 8192)),
    "bag": Workload("bag", ("model", "bag"), (1024, 16_384), ("fp32",)),
    "distilbert": Workload("DistilBERT of random weights", ("model", "transformer"), (32, 512),
                           most_tokens=1 << 16),
}


def operations(options: ModelOptions, tokens_of_a_review: float) -> float:
    """Floating-point operations of a padded token in products, forward and backward; 0 for a bag,
    which only reads and adds."""
    if options.model == "transformer":
        shape = options.shape
        products = 4 * shape.width**2 + 2 * shape.width * shape.feed_forward
        attention = 2 * shape.width * tokens_of_a_review
        return BACKWARD * 2 * shape.encoder_layers * (products + attention)
    if options.model not in ("lstm", "gru"):
        return 0.0
    gates, directions = (4 if options.model == "lstm" else 3), 1 + options.bidirectional
    total, width = 0, options.embedding_dim
    for _ in range(options.layers):
        total += directions * gates * options.hidden_dim * (width + options.hidden_dim)
        width = directions * options.hidden_dim
    return BACKWARD * 2.0 * total
