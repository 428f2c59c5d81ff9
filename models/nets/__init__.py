"""The models: (tokens, lengths, draws) -> logits, (n,) or for several outputs (n, C).

mlp has the store's features (n, F) before the draws.
A model of several views gives in training the logits of each, one below the other.
"""

from torch import nn

from models.nets.attention import BilstmAttention
from models.nets.bag import Bag
from models.nets.cnn import Cnn
from models.nets.mlp import Mlp
from models.nets.recurrent import Recurrent
from models.nets.transformer import Transformer
from models.options import ModelOptions

MODELS: dict[str, type[nn.Module]] = {
    "lstm": Recurrent,
    "gru": Recurrent,
    "bilstm-attention": BilstmAttention,
    "cnn": Cnn,
    "bag": Bag,
    "mlp": Mlp,
    "transformer": Transformer,
}


def build(options: ModelOptions) -> nn.Module:
    """The model, freshly initialized from torch's generator."""
    return MODELS[options.model](options)
