"""Checkpoints after any update: whole or absent, written beside the training, no code in them."""

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor, nn

from mpi_train.optimization.ema import EMA
from mpi_train.optimization.optimizers import OptimizerGroup
from reviews.errors import UserError
from reviews.run_folder import CHECKPOINT_FORMAT
from reviews.storage.folders import sha256

PARTS = ("weights", "optimizer", "average")  # a file of tensors each


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: where the training stood, and its tensors on the CPU."""

    state: dict[str, Any]
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]  # "<parameter>/<key>"
    average: dict[str, Tensor]  # of the weights, or empty

    def restore(
        self, model: nn.Module, optimizer: torch.optim.Optimizer | OptimizerGroup,
        average: EMA | None,
    ) -> None:
        """Put weights, optimizer state and averages in place."""
        model.load_state_dict(self.weights)
        parameters = dict(model.named_parameters())
        for name, value in self.optimizer.items():
            parameter, key = name.rsplit("/", 1)
            owner = parameters[parameter]
            # Adam's number of steps, too: a fused kernel reads it on the device.
            optimizer.state[owner][key] = value.to(owner.device)
        if average is not None:
            # An average that begins later begins with the weights as they are now.
            for name, place in average.weights.items():
                place.copy_(self.average.get(name, self.weights[name]))


class CheckpointWriter:
    """Writes the checkpoints of a run in a thread of its own, one at a time.

    Args:
        run: the run folder.
        kept: how many of the latest checkpoints stay.
    """

    def __init__(self, run: Path, kept: int) -> None:
        self._run, self._kept = run, kept
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def write(
        self, state: Mapping[str, Any], model: nn.Module,
        optimizer: torch.optim.Optimizer | OptimizerGroup, average: EMA | None,
    ) -> None:
        """Copy what a checkpoint holds, and begin to write step-NNNNNNNN, named by state["step"].

        Waits for the checkpoint before. When this returns, training may go on.
        """
        self.wait()
        moments = {
            f"{name}/{key}": value
            for name, parameter in model.named_parameters()
            for key, value in optimizer.state[parameter].items()
            if isinstance(value, Tensor)
        }
        averages = average.weights if average else {}
        tensors = [_copies(part) for part in (model.state_dict(), moments, averages)]
        self._writing = self._thread.submit(
            _write, self._run / "checkpoints", copy.deepcopy(dict(state)), tensors, self._kept)

    def check(self) -> None:
        """Raise the UserError of a checkpoint that could not be written; waits for none."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Until the last checkpoint is there; UserError when it could not be written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()


def _write(
    parent: Path, state: dict[str, Any], tensors: list[dict[str, Tensor]], kept: int
) -> None:
    target = parent / f"step-{state['step']:08d}"
    temporary = parent / f".{target.name}.partial"
    try:
        parent.mkdir(exist_ok=True)
        for left in parent.glob(".step-*"):  # by a run that was killed
            shutil.rmtree(left)
        temporary.mkdir()
        files = {}
        for name, part in zip(PARTS, tensors, strict=True):
            file = temporary / f"{name}.safetensors"
            save_file(part, file)
            file.chmod(0o644)  # like state.json; safetensors lets only the owner read
            _flush(file)
            files[file.name] = sha256(file)
        body = {"format": CHECKPOINT_FORMAT, **state, "files": files}
        (temporary / "state.json").write_text(json.dumps(body, indent=1) + "\n", "utf-8")
        _flush(temporary / "state.json")
        _flush(temporary)
        temporary.rename(target)
        _flush(parent)
        for old in _checkpoints(parent)[:-kept]:
            # Half removed, it would be one that is damaged.
            shutil.rmtree(old.rename(parent / f".{old.name}.old"))
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise UserError(f"{target} could not be written: {error}") from None


def last_checkpoint(run: Path) -> Checkpoint | None:
    """The newest checkpoint of a run; UserError when it is damaged, None when there is none."""
    found = _checkpoints(run / "checkpoints")
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
        if version != CHECKPOINT_FORMAT:
            raise UserError(f"{folder} has the format {version}; this program reads "
                            f"{CHECKPOINT_FORMAT}")
        contents = {name: (folder / name).read_bytes()
                    for name in (f"{part}.safetensors" for part in PARTS)}
        whole = all(hashlib.sha256(data).hexdigest() == files[name]
                    for name, data in contents.items())
    except (OSError, ValueError, KeyError, TypeError):
        raise damaged from None
    if not whole:
        raise damaged
    return Checkpoint(state, *(load(data) for data in contents.values()))


def _checkpoints(parent: Path) -> list[Path]:
    return sorted(parent.glob("step-*"))


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().to("cpu", copy=True).contiguous()
            for name, value in tensors.items()}


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
