"""A GPU's name, and what it reaches at most: products of matrices, and copies."""

import platform
import time
from collections.abc import Callable

import torch

# Precision of a training to that of its products.
PRODUCTS = {"fp32": torch.float32, "bf16": torch.bfloat16}
SIDE = {"cuda": 8192, "cpu": 512}  # rows and columns of a product
COPIED = {"cuda": 1 << 30, "cpu": 1 << 24}  # bytes
REPEATS = 10


def description(device: torch.device) -> str:
    """The device and its software in a line."""
    python = f"Python {platform.python_version()}, torch {torch.__version__}"
    if device.type != "cuda":
        return f"{platform.processor() or device.type}; {python}"
    found = torch.cuda.get_device_properties(device)
    return (f"{found.name}, {found.total_memory / 1e9:.0f} GB, {found.multi_processor_count} "
            f"multiprocessors, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}; "
            f"{python}")


def settle(device: torch.device) -> None:
    """Return when the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def products_a_second(device: torch.device, precision: str) -> float:
    """Floating-point operations a second in products of large matrices; fp32 without TF32."""
    side = SIDE[device.type]
    factor = torch.ones(side, side, dtype=PRODUCTS[precision], device=device)
    return 2 * side**3 / _seconds(device, lambda: factor @ factor)


def copied_a_second(device: torch.device) -> float:
    """Bytes a second, read and written, in a copy from the device's memory to the same."""
    size = COPIED[device.type]
    source, target = (torch.zeros(size, dtype=torch.uint8, device=device) for _ in range(2))
    return 2 * size / _seconds(device, lambda: target.copy_(source))


def _seconds(device: torch.device, work: Callable[[], object]) -> float:
    """Seconds of one of several calls, after others from cold."""
    for _ in range(REPEATS):
        work()
    settle(device)
    started = time.perf_counter()
    for _ in range(REPEATS):
        work()
    settle(device)
    return (time.perf_counter() - started) / REPEATS
