"""Memory that a process has freed."""

import ctypes

# Numbers of glibc's mallopt.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Have glibc keep what is freed, for the next block or micro-batch.

    It gives large blocks back to the system, which then clears every page anew. That took a
    tenth of an update's time alone on a machine, and a quarter beside other ranks; a page of a
    block of reviews costs more to get than to fill.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
