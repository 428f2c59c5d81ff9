"""The models: (tokens, lengths, draws) -> one logit per review."""

from mpi_train.models.options import ModelOptions
from mpi_train.models.recurrent import Recurrent

MODELS = ("lstm", "gru")


def build(options: ModelOptions) -> Recurrent:
    """The model, freshly initialized from torch's generator."""
    return Recurrent(options)
