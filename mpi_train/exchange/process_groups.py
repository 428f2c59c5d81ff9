"""torch's process groups, made so that a process ends well."""

import atexit
import os
import sys
import weakref
from typing import Any, NoReturn

import torch.distributed

_groups: list[Any] = []


def make_process_group(kind: str, store: Any, rank: int, size: int) -> Any:
    """A group that is there until this process ends.

    gloo's threads let go of a sum's tensors some time after it has been waited for. If the
    interpreter is gone by then, torch aborts the process. So groups, and with them their
    threads, are ended before: for that, they are held here alone.

    Args:
        kind: ProcessGroupGloo or ProcessGroupNCCL.
        store: where the members find each other's addresses.
        rank, size: within the group.
    """
    group = getattr(torch.distributed, kind)(store, rank, size)
    _groups.append(group)
    return weakref.proxy(group)


def leave() -> NoReturn:
    """End a process that used DDP: that never lets go of its group, until it is too late."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


atexit.register(_groups.clear)
