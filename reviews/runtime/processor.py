"""The processor of this machine."""

import platform
from pathlib import Path

_INFO = Path("/proc/cpuinfo")


def processor_name(info: Path = _INFO) -> str:
    """Its name, as the kernel has it."""
    return _value(info, "model name") or platform.processor() or platform.machine()


def has_vnni(info: Path = _INFO) -> bool:
    """True where it adds products of 8 bits in 32."""
    return any(flag.endswith("_vnni") for flag in _value(info, "flags").split())


def _value(info: Path, key: str) -> str:
    """The first value of a key; empty where there is none."""
    lines = info.read_text("utf-8").splitlines() if info.is_file() else []
    found = (line.split(":", 1)[1].strip() for line in lines if line.startswith(key))
    return next(found, "")
