"""Model of a bundle: its network with its weights."""

import torch
from torch import nn

from models.nets import build
from models.records import check_shapes, options_of
from reviews.bundle import Bundle


def load_model(bundle: Bundle) -> nn.Module:
    """The model of a bundle, on the CPU."""
    options = options_of(bundle)
    check_shapes(bundle, options)
    model = build(options)
    weights = {name: torch.from_numpy(value) for name, value in bundle.weights.items()}
    model.to(weights["output.weight"].dtype)
    model.load_state_dict(weights)
    return model
