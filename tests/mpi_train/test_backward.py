"""Micro-batches that do not fit into the memory: halved, redone, remembered."""

from typing import Any

import numpy as np
import pytest
import torch

from models.nets import build
from mpi_train.backward import BackPropagation, is_out_of_memory
from mpi_train.configuration.config import TrainingConfig
from mpi_train.data import Batch, BatchReader
from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.gradient_buckets import GradientBuckets
from mpi_train.exchange.group import Group
from mpi_train.monitoring.phase_timer import PhaseTimer
from mpi_train.optimization.noise_scale import RowSample
from reviews.errors import UserError
from reviews.store import Store
from tests.stores import make_store

PLACE = (0, 0)
CPU_MESSAGE = "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"
GPU_MESSAGES = (
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",  # of cuDNN 9
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("memory") / "store", {"train": 120}, length=32)


class Device:
    """A rank whose memory holds so many padded tokens."""

    def __init__(self, store: Store, memory: int, error: type[RuntimeError] = RuntimeError) -> None:
        config = TrainingConfig.of(embedding_dim=6, hidden_dim=5, batch_size=100, precision="fp64",
                                   micro_batch_tokens=1024, dropout=0.3)
        torch.manual_seed(0)
        model = build(config.model_options(store)).double()
        self.batch: Batch = BatchReader(store, "train", 100, 0, 64).batch(*PLACE)
        self.memory, self.error = memory, error
        self.sizes: list[int] = []  # tokens of the micro-batches that went through
        model.register_forward_pre_hook(self._allocate)
        self.model = model
        self.backward = BackPropagation(
            config, model, GradientBuckets(model, Group(Communicator())), torch.device("cpu"),
            PhaseTimer())

    def _allocate(self, _: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        tokens = inputs[0].numel()
        if tokens > self.memory:
            raise self.error(CPU_MESSAGE)
        self.sizes.append(tokens)

    def gradient(self) -> torch.Tensor:
        assert self.backward.run(self.batch, (0, 100), PLACE) is not None
        return self._gradient()

    def signed_gradient(self) -> torch.Tensor:
        positions = np.arange(0, 100, 2)
        signs = np.where(positions % 3 == 0, 1.0, -1.0)
        self.backward.add_signed(self.batch, RowSample(positions, signs), PLACE)
        return self._gradient()

    def _gradient(self) -> torch.Tensor:
        return torch.cat([p.grad.flatten() for p in self.model.parameters()])


@pytest.mark.parametrize("error", [RuntimeError, torch.OutOfMemoryError])
def test_the_gradient_is_that_of_a_large_memory(store: Store, error: type[RuntimeError]) -> None:
    wanted = Device(store, 10_000).gradient()
    small = Device(store, 200, error)
    assert torch.allclose(small.gradient(), wanted, rtol=1e-12, atol=1e-15)


def test_the_signed_sum_of_a_sample_is_that_of_a_large_memory(store: Store) -> None:
    wanted = Device(store, 10_000).signed_gradient()
    small = Device(store, 200)
    assert torch.allclose(small.signed_gradient(), wanted, rtol=1e-12, atol=1e-15)
    assert max(small.sizes) <= 200
    small.gradient()  # the update after it
    assert max(small.sizes) <= 200


def test_the_size_that_fits_is_remembered(store: Store) -> None:
    device = Device(store, 200)
    device.gradient()
    assert device.backward.max_tokens <= 200
    assert max(device.sizes) > 50
    before = len(device.sizes)
    device.gradient()
    # Nothing was tried in vain, so each review went through once.
    lengths = device.batch.lengths
    assert sum(device.sizes[before:]) >= lengths.sum()
    assert sum(device.sizes[before:]) < 1.5 * lengths.sum()


def test_a_review_that_does_not_fit_alone_is_one_line(store: Store) -> None:
    with pytest.raises(UserError, match=r"a review of \d+ tokens does not fit into the memory"):
        Device(store, 10).gradient()


@pytest.mark.parametrize("message", [CPU_MESSAGE, *GPU_MESSAGES])
def test_a_full_memory_is_known_by_what_libraries_say(message: str) -> None:
    assert is_out_of_memory(RuntimeError(message))
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access"))


def test_any_other_error_is_not_taken_for_a_full_memory(store: Store) -> None:
    device = Device(store, 10_000)
    device.model.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("other")))
    with pytest.raises(RuntimeError, match="other"):
        device.gradient()
