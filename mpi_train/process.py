"""What a process sets up for itself before it computes."""

import ctypes
import os

import torch

# Numbers of glibc's mallopt.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def prepare_process(threads: int, local_ranks: int) -> None:
    """Set the threads of this process before any start (0: the cores over the host's ranks).

    Denormal numbers are flushed to zero in every thread, since threads inherit this from the
    one that starts them: gradients that fade along long reviews are 6 times slower otherwise.
    """
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads or max(1, len(os.sched_getaffinity(0)) // local_ranks))
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Have glibc keep what is freed, for the next micro-batch.

    It gives large blocks back to the system, which then clears every page anew: that took a
    tenth of the time of an update alone on a machine, and a quarter beside other ranks.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
