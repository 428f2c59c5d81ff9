"""Model of a bundle: its network with its weights."""

import torch
from torch import nn

from models.nets import build
from models.options import OWN_OPTIONS, ModelOptions
from reviews.bundle import Bundle
from reviews.errors import UserError
from reviews.options import from_mapping


def load_model(bundle: Bundle) -> nn.Module:
    """The model of a bundle, on the CPU."""
    where = f"{bundle.path}/model.json"
    options = from_mapping(ModelOptions, bundle.model.get("options", {}), where)
    if options.model not in OWN_OPTIONS:
        raise UserError(f"{where}: this program knows no model {options.model!r}")
    weights = {name: torch.from_numpy(value) for name, value in bundle.weights.items()}
    misfit = UserError(f"{bundle.path}: the weights do not fit model.json")
    if options.layers > len(weights) or len(options.widths) > len(weights):
        raise misfit
    try:
        with torch.device("meta"):  # takes no memory, however large model.json says it is
            shapes = {name: value.shape for name, value in build(options).state_dict().items()}
    except (RuntimeError, ValueError, TypeError, IndexError):  # as for a negative width
        raise misfit from None
    if shapes != {name: value.shape for name, value in weights.items()}:
        raise misfit
    model = build(options)
    model.to(weights["output.weight"].dtype)
    model.load_state_dict(weights)
    return model
