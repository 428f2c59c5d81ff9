"""Python objects as bytes between ranks: numbers, arrays, tensors and the project's own records.

Whoever reaches the port of a key-value store could send something else, and a pickle may name
any function; so those that may be named are listed.
"""

import io
import pickle
from typing import Any

import torch

from models.options import ModelOptions
from models.records import RECORDS
from mpi_train.configuration.config import TrainingConfig
from reviews.options import groups
from reviews.recipe import Recipe

ALLOWED = {
    ("collections", "OrderedDict"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("pathlib", "PosixPath"),
    ("torch._utils", "_rebuild_tensor_v2"),
    # The project's own records that ranks send.
    ("mpi_train.balance.share_coordinator", "Rest"),
    ("mpi_train.balance.share_coordinator", "Return"),
    ("mpi_train.balance.share_coordinator", "Trial"),
    ("mpi_train.checkpoint", "Checkpoint"),
    ("mpi_train.evaluate", "Request"),
    ("mpi_train.exchange.watchdog", "ProcessIdentity"),
    ("mpi_train.train_state", "EpochTotals"),
    ("mpi_train.train_state", "TrainState"),
    ("reviews.bundle", "Bundle"),
    ("reviews.runtime.noise_sums", "NoiseSums"),
} | {(kind.__module__, kind.__name__)
     for config in (TrainingConfig, ModelOptions, Recipe, *(r.network for r in RECORDS.values()))
     for kind in groups(config)}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """A class that messages may name."""
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return _storage
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"a rank sent {module}.{name}, which no rank sends")
        return super().find_class(module, name)


def _storage(data: bytes) -> Any:
    return torch.load(io.BytesIO(data), weights_only=True)


def to_bytes(value: Any) -> bytes:
    """A message."""
    return pickle.dumps(value)


def from_bytes(data: bytes) -> Any:
    """The object that a message is. Raises pickle.UnpicklingError where it names another kind."""
    return _Reader(io.BytesIO(data)).load()
