"""CPU, memory and GPU that a rank uses, epoch by epoch."""

import ctypes
import resource
import time
from collections.abc import Callable
from typing import Any

import torch

NVML = "libnvidia-ml.so.1"  # comes with the driver
SAMPLE_S = 1.0  # between samples of a GPU's use: NVML's own are means over as much


class ResourceMeter:
    """Resources of this process since they were last taken.

    Args:
        gpu_use: per cent of the last second in which the GPU had work, or None where that is not
            known. By default that of the device.
    """

    def __init__(
        self, device: torch.device, gpu_use: Callable[[], float | None] | None = None
    ) -> None:
        self._gpu = device if device.type == "cuda" else None
        if gpu_use is None and self._gpu is not None:
            gpu_use = GpuUse(str(torch.cuda.get_device_properties(device).uuid))
        self._gpu_use = gpu_use
        self._begin()

    def _begin(self) -> None:
        self._started, self._cpu_s = time.perf_counter(), time.process_time()
        self._sampled, self._samples = self._started, list[float]()

    def sample(self) -> None:
        """After an update: look at the GPU, at most once in SAMPLE_S."""
        if self._gpu_use is None or time.perf_counter() - self._sampled < SAMPLE_S:
            return
        self._sampled = time.perf_counter()
        if (used := self._gpu_use()) is not None:
            self._samples.append(used)

    def take(self) -> dict[str, float | None]:
        """Figures since the last call, and the peaks of the process so far.

        cpu_percent: CPU time of all threads, in per cent of the time that passed (200: two cores).
        memory_bytes: the most memory that was resident.
        gpu_percent: mean of the samples, None without any.
        gpu_memory_bytes: the most that torch reserved, None without a GPU.
        """
        elapsed = max(time.perf_counter() - self._started, 1e-9)
        found: dict[str, float | None] = {
            "cpu_percent": 100 * (time.process_time() - self._cpu_s) / elapsed,
            "memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "gpu_percent": sum(self._samples) / len(self._samples) if self._samples else None,
            "gpu_memory_bytes": (None if self._gpu is None
                                 else torch.cuda.max_memory_reserved(self._gpu)),
        }
        self._begin()
        return found


class _Rates(ctypes.Structure):
    """nvmlUtilization_t: per cent of the last sample period."""

    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class GpuUse:
    """Use of one GPU by NVIDIA's management library; None where it does not say, as of a part of a
    GPU (MIG).

    Args:
        uuid: of the GPU, without a prefix.
        library: NVML, by default that of the driver.
    """

    def __init__(self, uuid: str, library: Any = None) -> None:
        self._handle = ctypes.c_void_p()
        try:
            self._library = library or ctypes.CDLL(NVML)
        except OSError:
            self._library = None
            return
        name = f"GPU-{uuid}".encode()
        # Each call returns 0 if it succeeds.
        if self._library.nvmlInit_v2() or self._library.nvmlDeviceGetHandleByUUID(
                name, ctypes.byref(self._handle)):
            self._library = None

    def __call__(self) -> float | None:
        rates = _Rates()
        if self._library is None or self._library.nvmlDeviceGetUtilizationRates(
                self._handle, ctypes.byref(rates)):
            return None
        return float(rates.gpu)
