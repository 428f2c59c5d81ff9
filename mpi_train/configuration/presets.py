"""Whole trainings by name, those of earlier systems too."""

from typing import Any

# The configuration of a run for which no model is named.
DEFAULT_CONFIG = "default"
# Its epochs are as many as read about so many reviews, and for that no more than these:
# docs/models.md has what small stores gain by it.
ENOUGH_REVIEWS, MOST_EPOCHS = 100_000, 20

CONFIGS: dict[str, dict[str, Any]] = {
    # The most accuracy for some minutes of two cores, `reviewmill bench accuracy`: the two
    # views of `views` with narrower vectors and fewer rows, in fewer epochs of smaller batches.
    DEFAULT_CONFIG: {
        "model": "lstm", "bidirectional": True, "embedding_dim": 64, "hidden_dim": 64,
        "ngrams": 3, "buckets": 1_000_000, "epochs": 2, "batch_size": 128,
        "schedule": "one-cycle", "learning_rate": 3e-3, "dropout": 0.2, "word_dropout": 0.05,
    },
    # One LSTM layer, 100 -> 64: `reviewmill bench train` and `bench balance` are about it.
    "plain-lstm": {"model": "lstm"},
    # For accuracy in less time than a plain BiLSTM takes, `reviewmill bench accuracy`: two views.
    "views": {
        "model": "lstm", "bidirectional": True, "hidden_dim": 64, "ngrams": 3, "epochs": 3,
        "batch_size": 256, "schedule": "one-cycle", "learning_rate": 3e-3, "dropout": 0.3,
        "word_dropout": 0.1,
    },
    # 21.3 M Amazon reviews on several GPUs, 2019; with the recipe of the same name.
    "rnn2019": {
        "model": "lstm", "embedding_dim": 100, "hidden_dim": 32, "layers": 2, "pooling": "last",
        "dropout": 0.5, "positive_weight": 0.2, "optimizer": "sgd", "momentum": 0.9,
        "learning_rate": 0.1, "schedule": "constant", "batch_size_per_rank": 128, "epochs": 10,
        "keep": "last",  # its recipe leaves no validation rows to choose by
    },
    # Amazon polarity on many CPUs: Adam, one batch of 64 for each of its workers.
    "polarity": {
        "model": "lstm", "optimizer": "adam", "learning_rate": 1e-3, "schedule": "constant",
        "batch_size": 512, "epochs": 20,
    },
    # App reviews, five stars against fewer: short texts and unequal classes.
    "netflix": {
        "model": "bag", "class_weights": "balanced",
    },
    # Electronics reviews, BiLSTM with attention. Its 2e-5 was that of pre-trained encoders.
    "electronics": {
        "model": "bilstm-attention", "embedding_dim": 300, "hidden_dim": 256,
        "optimizer": "adamw", "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01,
        "learning_rate": 1e-3, "warmup_fraction": 0.1, "schedule": "constant",
        "batch_size": 32, "clip_norm": 1.0, "dropout": 0.2, "word_dropout": 0.0,
    },
}

# Pre-trained encoders, `--encoder FOLDER`: what the model has by default is what they were
# fine-tuned with, whichever of the three it is.
CONFIGS |= {name: {"model": "transformer"} for name in ("distilbert", "roberta", "minilm")}

# The same with the rule for large minibatches that its authors took over (Goyal et al. 2017): a
# batch of 128 for each rank, a rate in proportion to the ranks, and a gradual rise to it.
CONFIGS["goyal"] = {
    **CONFIGS["rnn2019"], "learning_rate_scaling": "linear", "base_batch_size": 128,
    "warmup_epochs": 1.0,
}
