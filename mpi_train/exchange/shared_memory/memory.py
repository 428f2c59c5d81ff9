"""Memory that all ranks of one host see."""

import mmap
import os
from typing import Any

import numpy as np

TOKEN_BYTES = 16


def share_memory(world: Any, size: int) -> np.ndarray | None:
    """Memory of all ranks of an MPI communicator, which all call this.

    It has no name and no file: rank 0 makes it, the others open it through /proc, and it is gone
    with the last of them, however that ends.

    Returns:
        (size,) uint8, zeros; None on all ranks where one of them cannot see it, as on another
        host or in another container.
    """
    memory, token = None, os.urandom(TOKEN_BYTES)
    place = None
    if world.Get_rank() == 0:
        handle = os.memfd_create("reviewmill")
        os.truncate(handle, size + TOKEN_BYTES)
        memory = mmap.mmap(handle, size + TOKEN_BYTES)
        memory[size:] = token
        place = f"/proc/{os.getpid()}/fd/{handle}"
    place, token = world.bcast((place, token))
    if memory is None:
        memory = _open(place, size + TOKEN_BYTES)
    # A process of the same number on another host has no such memory.
    seen = memory is not None and memory[size:] == token
    everyone = all(world.allgather(seen))
    if world.Get_rank() == 0:
        os.close(handle)
    if not everyone or memory is None:
        return None
    return np.frombuffer(memory, np.uint8, size)


def shared_memory(world: Any, size: int) -> np.ndarray:
    """The same for ranks that have found, when they connected, that they see each other's."""
    memory = share_memory(world, size)
    assert memory is not None, "the ranks saw each other's memory when they connected"
    return memory


def _open(place: str, size: int) -> mmap.mmap | None:
    try:
        handle = os.open(place, os.O_RDWR)
    except OSError:
        return None
    try:
        return mmap.mmap(handle, size)
    except (OSError, ValueError):  # ValueError: it is smaller, so something else
        return None
    finally:
        os.close(handle)
