"""A profile's page about a GPU; tests/mpi_train/test_runs.py has that of a run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch.autograd import DeviceType

from mpi_train.monitoring.phase_timer import PHASES
from mpi_train.monitoring.profiler import TRACED, WARM_UP, Profiler


def event(key: str, device: DeviceType, device_us: float, annotation: bool = False) -> Any:
    """A row of torch.profiler's averages."""
    return SimpleNamespace(key=key, device_type=device, self_device_time_total=device_us,
                           self_cpu_time_total=100.0, count=10, is_user_annotation=annotation)


class Tracer:
    """torch.profiler as it is on a machine with a GPU."""

    def start(self) -> None:
        """Nothing is traced."""

    stop = start

    def export_chrome_trace(self, file: str) -> None:
        Path(file).write_text("{}")

    def key_averages(self) -> list[Any]:
        return [event("aten::mm", DeviceType.CPU, 3000), event("gemm", DeviceType.CUDA, 3000),
                event("lstm", DeviceType.CUDA, 7000),
                event("step", DeviceType.CUDA, 99_000, annotation=True)]


def test_a_profile_has_the_kernels_of_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiler = Profiler(tmp_path)
    monkeypatch.setattr(profiler, "_torch", Tracer())
    for _ in range(WARM_UP + TRACED):
        profiler.after_update(dict.fromkeys(PHASES, 0.1))
    profiler.close()
    page = (tmp_path / "summary.txt").read_text().splitlines()
    heading = next(number for number, line in enumerate(page) if line.startswith("Kernels of"))
    assert "which had work for 2.00 ms of each" in page[heading]
    assert [line.split() for line in page[heading + 2 : heading + 4]] == [
        ["1.40", "ms", "70.0%", "2", "x", "lstm"], ["0.60", "ms", "30.0%", "2", "x", "gemm"]]
