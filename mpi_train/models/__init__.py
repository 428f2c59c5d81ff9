"""The models: (tokens, lengths, draws) -> logits, (n,) or for several outputs (n, C).

A model of several views gives in training the logits of each, one below the other.
"""

from torch import nn

from mpi_train.models.attention import BilstmAttention
from mpi_train.models.bag import Bag
from mpi_train.models.cnn import Cnn
from mpi_train.models.options import ModelOptions
from mpi_train.models.recurrent import Recurrent

MODELS: dict[str, type[nn.Module]] = {
    "lstm": Recurrent,
    "gru": Recurrent,
    "bilstm-attention": BilstmAttention,
    "cnn": Cnn,
    "bag": Bag,
}


def build(options: ModelOptions) -> nn.Module:
    """The model, freshly initialized from torch's generator."""
    return MODELS[options.model](options)
