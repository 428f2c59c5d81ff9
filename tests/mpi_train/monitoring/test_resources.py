"""Resources of ranks: CPU and memory of the process, and what NVIDIA's library says of a GPU."""

import ctypes
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from mpi_train.monitoring import resources
from mpi_train.monitoring.resources import GpuUse, ResourceMeter
from reviews.run_folder import read_records
from tests.mpi_train.runs import train
from tests.stores import make_store

CPU = torch.device("cpu")


def test_cpu_time_is_in_per_cent_of_the_time_that_passed() -> None:
    meter = ResourceMeter(CPU)
    started = time.process_time()
    while time.process_time() - started < 0.2:
        pass
    busy = meter.take()["cpu_percent"]
    time.sleep(0.2)
    idle = meter.take()["cpu_percent"]
    assert busy is not None and idle is not None
    assert idle < 50 < 2 * busy


def test_memory_is_the_most_that_was_resident_in_bytes() -> None:
    meter = ResourceMeter(CPU)
    before = meter.take()["memory_bytes"]
    assert before is not None and before > 50e6  # torch alone takes more
    block = b"x" * int(before)
    after = meter.take()["memory_bytes"]
    del block
    assert after is not None and after >= before + 0.5 * before
    assert meter.take()["memory_bytes"] == after


def test_a_process_without_a_gpu_has_no_figures_of_one() -> None:
    meter = ResourceMeter(CPU)
    meter.sample()
    found = meter.take()
    assert found["gpu_percent"] is None and found["gpu_memory_bytes"] is None


def test_the_use_of_a_gpu_is_the_mean_of_samples_since_it_was_taken(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "SAMPLE_S", 0.0)
    said = iter([10.0, None, 30.0, 50.0])
    meter = ResourceMeter(CPU, lambda: next(said))
    for _ in range(3):
        meter.sample()
    assert meter.take()["gpu_percent"] == 20
    meter.sample()
    assert meter.take()["gpu_percent"] == 50
    assert meter.take()["gpu_percent"] is None


def test_samples_are_a_second_apart() -> None:
    meter = ResourceMeter(CPU, lambda: pytest.fail("the GPU was asked at once"))
    meter.sample()


class Nvml:
    """NVML of one GPU that is busy for 37 per cent of its time; `refuses` is a call that fails."""

    def __init__(self, uuid: bytes, refuses: str = "") -> None:
        self._uuid, self._refuses = uuid, refuses

    def nvmlInit_v2(self) -> int:
        return int(self._refuses == "init")

    def nvmlDeviceGetHandleByUUID(self, name: bytes, handle: Any) -> int:
        handle._obj.value = 99
        return int(name != self._uuid)

    def nvmlDeviceGetUtilizationRates(self, handle: ctypes.c_void_p, rates: Any) -> int:
        rates._obj.gpu, rates._obj.memory = 37, 5
        return int(handle.value != 99 or self._refuses == "rates")


def test_the_driver_s_library_is_asked_for_the_gpu_by_its_uuid() -> None:
    assert GpuUse("12-34", Nvml(b"GPU-12-34"))() == 37


@pytest.mark.parametrize("library", [
    Nvml(b"GPU-other"), Nvml(b"GPU-12-34", "init"), Nvml(b"GPU-12-34", "rates")])
def test_a_library_that_does_not_say_is_no_error(library: Nvml) -> None:
    assert GpuUse("12-34", library)() is None


def test_a_machine_without_the_library_has_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "NVML", "libno-such-library.so.1")
    assert GpuUse("12-34")() is None


@pytest.mark.gpu
def test_a_busy_gpu_is_seen_to_be_busy() -> None:
    device = torch.device("cuda", 0)
    use = GpuUse(str(torch.cuda.get_device_properties(device).uuid))
    meter = ResourceMeter(device, use)
    block = torch.ones(8192, 8192, device=device)
    started = time.perf_counter()
    while time.perf_counter() - started < 4 * resources.SAMPLE_S:
        (block @ block).sum().item()
        meter.sample()
    found = meter.take()
    assert found["gpu_percent"] is not None and found["gpu_percent"] > 50
    assert found["gpu_memory_bytes"] is not None
    assert found["gpu_memory_bytes"] >= block.numel() * 4


def test_the_epochs_of_a_run_have_the_resources_of_every_rank(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"train": 40, "validation": 10, "test": 10}, length=8)
    run = train(store, tmp_path / "run", model="bag", epochs=2, buckets=97)
    epochs = [record for record in read_records(run) if record and record["kind"] == "epoch"]
    assert len(epochs) == 2
    for epoch in epochs:
        assert [cpu > 0 for cpu in epoch["cpu_percent"]] == [True]
        assert [memory > 50e6 for memory in epoch["memory_bytes"]] == [True]
        gpu = [torch.cuda.is_available()]
        assert [memory is not None for memory in epoch["gpu_memory_bytes"]] == gpu
