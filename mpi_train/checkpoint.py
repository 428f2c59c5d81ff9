"""Checkpoints after any update: whole or absent, written beside the training, no code in them."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from mpi_train.train_state import TrainState
from reviews.errors import UserError
from reviews.run_folder import CHECKPOINT_FORMAT
from reviews.storage.folders import sha256
from reviews.storage.mirror import RunMirror

PARTS = ("weights", "optimizer", "average")  # a file of tensors each, or one of each rank
_FILE = re.compile(rf"({'|'.join(PARTS)})(-\d+-of-\d+)?\.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: the state of the run, and its tensors on the CPU by PARTS."""

    state: TrainState
    tensors: dict[str, dict[str, Tensor]]


class CheckpointWriter:
    """Writes the checkpoints of a run in a thread of its own, one at a time.

    Args:
        run: the run folder.
        kept: how many of the latest checkpoints stay.
        mirror: of the run folder, brought up to date with each checkpoint.
    """

    def __init__(self, run: Path, kept: int, mirror: RunMirror | None = None) -> None:
        self._run, self._kept, self._mirror = run, kept, mirror
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def write(
        self, state: TrainState, copy: Callable[[], Mapping[str, Mapping[str, Tensor]]]
    ) -> None:
        """Begin to write step-NNNNNNNN, named by state.step.

        Waits for the checkpoint before, whose copies are then free. When this returns, training
        may go on.

        Args:
            copy: gives copies of the tensors (`Replica.full_state`).
        """
        self.wait()
        tensors = copy()
        self._writing = self._thread.submit(self._write, state.to_json(), tensors)

    def _write(self, state: dict[str, Any], tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        _write(self._run / "checkpoints", state, tensors, self._kept)
        if self._mirror is not None:
            self._mirror.put()

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
    parent: Path, state: dict[str, Any], tensors: Mapping[str, Mapping[str, Tensor]], kept: int
) -> None:
    pending = PendingCheckpoint(parent, state["step"])
    with pending.written():
        pending.begin()
        pending.commit(state, pending.add(tensors), kept)


class PendingCheckpoint:
    """A checkpoint on its way: files in a folder that gets its name when all of them are there."""

    def __init__(self, parent: Path, step: int) -> None:
        self._parent, self.target = parent, parent / f"step-{step:08d}"
        self._temporary = parent / f".{self.target.name}.partial"

    @contextmanager
    def written(self) -> Iterator[None]:
        """Inside, a fault of the disk is a UserError, and nothing is left."""
        try:
            yield
        except (OSError, SafetensorError) as error:
            shutil.rmtree(self._temporary, ignore_errors=True)
            raise UserError(f"{self.target} could not be written: {error}") from None

    def begin(self) -> None:
        """Make the folder."""
        self._parent.mkdir(exist_ok=True)
        for left in self._parent.glob(".step-*"):  # by a run that was killed
            shutil.rmtree(left)
        self._temporary.mkdir()

    def add(
        self, tensors: Mapping[str, Mapping[str, Tensor]], suffix: str = ""
    ) -> dict[str, str]:
        """Write the files of tensors; return the sha256 of each.

        suffix: of their names, where each rank has files of its own.
        """
        files = {}
        for name in PARTS:
            file = self._temporary / f"{name}{suffix}.safetensors"
            save_file(dict(tensors[name]), file)
            file.chmod(0o644)  # like state.json; safetensors lets only the owner read
            _flush(file)
            files[file.name] = sha256(file)
        return files

    def commit(self, state: Mapping[str, Any], files: Mapping[str, str], kept: int) -> None:
        """Write state.json, give the folder its name, and remove all but the last `kept` ones."""
        body = {"format": CHECKPOINT_FORMAT, **state, "files": files}
        (self._temporary / "state.json").write_text(json.dumps(body, indent=1) + "\n", "utf-8")
        _flush(self._temporary / "state.json")
        _flush(self._temporary)
        self._temporary.rename(self.target)
        _flush(self._parent)
        for old in _checkpoints(self._parent)[:-kept]:
            # Half removed, it would be one that is damaged.
            shutil.rmtree(old.rename(self._parent / f".{old.name}.old"))


def last_checkpoint(run: Path) -> Checkpoint | None:
    """The newest checkpoint of a run; UserError when it is damaged, None when there is none.

    What several ranks wrote, each some rows of every tensor, is put together.
    """
    found = _checkpoints(run / "checkpoints")
    if not found:
        return None
    folder = found[-1]
    damaged = UserError(
        f"{folder} is damaged: remove it to resume from "
        + (found[-2].name if len(found) > 1 else "the start")
    )
    try:
        body = json.loads((folder / "state.json").read_bytes())
        version, files = body["format"], body["files"]
        if version != CHECKPOINT_FORMAT:
            raise UserError(f"{folder} has the format {version}; this program reads "
                            f"{CHECKPOINT_FORMAT}")
        state = TrainState.from_json(body)
        contents = {name: (folder / name).read_bytes() for name in files if _FILE.fullmatch(name)}
        whole = all(hashlib.sha256(data).hexdigest() == files[name]
                    for name, data in contents.items())
        parts = {part: _of_part(part, contents) for part in PARTS}
    except (OSError, ValueError, KeyError, TypeError):
        raise damaged from None
    if not whole:
        raise damaged
    tensors = {part: _together([load(data) for data in found]) for part, found in parts.items()}
    return Checkpoint(state, tensors)


def _of_part(part: str, contents: Mapping[str, bytes]) -> list[bytes]:
    """Contents of the files of a part, in the order of the ranks that wrote them."""
    found = [contents[name] for name in sorted(contents)
             if name.startswith(part)]
    if not found:
        raise KeyError(part)
    return found


def _together(shards: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Whole tensors from the rows that each rank wrote; numbers alone are in the first."""
    if len(shards) == 1:
        return dict(shards[0])
    return {name: torch.cat([shard[name] for shard in shards]) if value.ndim else value
            for name, value in shards[0].items()}


def _checkpoints(parent: Path) -> list[Path]:
    return sorted(parent.glob("step-*"))


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
