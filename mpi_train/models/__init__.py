"""The models: (tokens, lengths, draws) -> logits, (n,) or for several outputs (n, C).

mlp has the store's features (n, F) before the draws.
A model of several views gives in training the logits of each, one below the other.
"""

from torch import nn

from mpi_train.models.attention import BilstmAttention
from mpi_train.models.bag import Bag
from mpi_train.models.cnn import Cnn
from mpi_train.models.mlp import Mlp
from mpi_train.models.options import ModelOptions
from mpi_train.models.recurrent import Recurrent

MODELS: dict[str, type[nn.Module]] = {
    "lstm": Recurrent,
    "gru": Recurrent,
    "bilstm-attention": BilstmAttention,
    "cnn": Cnn,
    "bag": Bag,
    "mlp": Mlp,
}


def build(options: ModelOptions) -> nn.Module:
    """The model, freshly initialized from torch's generator."""
    return MODELS[options.model](options)
