"""Messages of ranks without MPI, and nothing else."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mpi_train.balance.share_coordinator import Rest, Trial
from mpi_train.checkpoint import Checkpoint
from mpi_train.configuration.config import TrainingConfig
from mpi_train.exchange.message_codec import from_bytes, to_bytes
from mpi_train.train_state import TrainState


@pytest.mark.parametrize(
    "value",
    [None, True, (1, 2.5, "text"), {"a": [1]}, Path("run"), Trial(1, 2, 3.5), Rest(None, 0),
     Checkpoint(TrainState("store", step=3), {"weights": {}}),
     TrainingConfig.of(batch_size=7, model="cnn", filters=3), np.float64(2.5)],
)
def test_records_and_numbers_arrive_as_they_were(value: Any) -> None:
    assert from_bytes(to_bytes(value)) == value


def test_so_do_arrays_and_tensors() -> None:
    array, tensor = np.arange(6.0).reshape(2, 3), torch.arange(6.0).reshape(2, 3)[:, 1:]
    sent = from_bytes(to_bytes({"array": array, "tensor": tensor}))
    assert np.array_equal(sent["array"], array)
    assert torch.equal(sent["tensor"], tensor)


class Marker:
    """A pickle that would call a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def test_no_function_is_called_for_a_message(tmp_path: Path) -> None:
    import mpi_train.checkpoint

    place = tmp_path / "marker"
    for marker in (Marker(os.mkdir, str(place)), Marker(exec, f"open({str(place)!r}, 'w')"),
                   Marker(mpi_train.checkpoint.last_checkpoint, tmp_path),
                   Marker(mpi_train.checkpoint.CheckpointWriter, tmp_path, 1),
                   Marker(torch.storage._load_from_bytes, pickle.dumps(
                       Marker(os.mkdir, str(place))))):
        with pytest.raises(pickle.UnpicklingError):
            from_bytes(pickle.dumps(marker))
    assert not place.exists()
