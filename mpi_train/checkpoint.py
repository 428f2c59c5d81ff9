"""Checkpoints after any update: whole or absent, and without code in them."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save_file
from torch import Tensor, nn

from mpi_train.averages import Average
from mpi_train.optimizers import Joined
from reviews.errors import UserError
from reviews.folders import sha256

FORMAT = "reviewmill-checkpoint/1"
PARTS = ("weights", "optimizer", "average")  # a file of tensors each


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: where the training stood, and its tensors on the CPU."""

    state: dict[str, Any]
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]  # "<parameter>/<key>"
    average: dict[str, Tensor]  # of the weights, or empty

    def restore(
        self, model: nn.Module, optimizer: torch.optim.Optimizer | Joined,
        average: Average | None,
    ) -> None:
        """Put weights, optimizer state and averages in place."""
        model.load_state_dict(self.weights)
        parameters = dict(model.named_parameters())
        for name, value in self.optimizer.items():
            parameter, key = name.rsplit("/", 1)
            place = value if value.ndim == 0 else value.to(parameters[parameter].device)
            optimizer.state[parameters[parameter]][key] = place
        if average is not None:
            # An average that begins later begins with the weights as they are now.
            for name, place in average.weights.items():
                place.copy_(self.average.get(name, self.weights[name]))


def save_checkpoint(
    run: Path, state: dict[str, Any], model: nn.Module,
    optimizer: torch.optim.Optimizer | Joined, average: Average | None, kept: int,
) -> None:
    """Write checkpoints/step-NNNNNNNN, named by state["step"]; keep the latest `kept`."""
    parent = run / "checkpoints"
    parent.mkdir(exist_ok=True)
    target = parent / f"step-{state['step']:08d}"
    temporary = parent / f".{target.name}.partial"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    weights = _on_cpu(model.state_dict())
    moments = _on_cpu({
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
        if isinstance(value, Tensor)
    })
    averages = _on_cpu(average.weights) if average else {}
    files = {}
    for name, tensors in zip(PARTS, (weights, moments, averages), strict=True):
        file = temporary / f"{name}.safetensors"
        save_file(tensors, file)
        _flush(file)
        files[file.name] = sha256(file)
    body = {"format": FORMAT, **state, "files": files}
    (temporary / "state.json").write_text(json.dumps(body, indent=1) + "\n", "utf-8")
    _flush(temporary / "state.json")
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    for old in _checkpoints(run)[:-kept]:
        shutil.rmtree(old)


def last_checkpoint(run: Path) -> Checkpoint | None:
    """The newest checkpoint of a run; UserError when it is damaged, None when there is none."""
    found = _checkpoints(run)
    if not found:
        return None
    folder = found[-1]
    damaged = UserError(
        f"{folder} is damaged: remove it to resume from "
        + (found[-2].name if len(found) > 1 else "the start")
    )
    try:
        state = json.loads((folder / "state.json").read_bytes())
        version, files = state["format"], state["files"]
        if version != FORMAT:
            raise UserError(f"{folder} has the format {version}; this program reads {FORMAT}")
        contents = {name: (folder / name).read_bytes()
                    for name in (f"{part}.safetensors" for part in PARTS)}
        whole = all(hashlib.sha256(data).hexdigest() == files[name]
                    for name, data in contents.items())
    except (OSError, ValueError, KeyError, TypeError):
        raise damaged from None
    if not whole:
        raise damaged
    return Checkpoint(state, *(load(data) for data in contents.values()))


def _checkpoints(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").glob("step-*"))


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _flush(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
