"""Arrow strings as bytes and offsets, and their hashes."""

import numpy as np
import pyarrow as pa

from reviews.compiled.functions import inlined, kernel

Array = np.ndarray

PRIME_A = np.uint64(0x00000100000001B3)  # FNV-1a
BASIS_A = np.uint64(0xCBF29CE484222325)
PRIME_B = np.uint64(0x9E3779B97F4A7C15)  # golden ratio, as in SplitMix64
# Odd, with as many ones as zeros (from SplitMix64's finalizer).
PRIME_C = np.uint64(0xBF58476D1CE4E5B9)
PRIME_D = np.uint64(0x94D049BB133111EB)
BASIS_B = np.uint64(0x243F6A8885A308D3)


def string_buffers(strings: pa.Array) -> tuple[Array, Array]:
    """The bytes (uint8) and offsets (n + 1, int32) under a string array, without a copy.

    They are for reading only: compiled code comes in one kind for them, not in two.
    """
    _, offsets, data = strings.buffers()
    if len(strings) == 0:
        return read_only(np.zeros(0, np.uint8)), read_only(np.zeros(1, np.int32))
    view = np.frombuffer(offsets, np.int32, len(strings) + 1, 4 * strings.offset)
    codes = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    codes.flags.writeable = view.flags.writeable = False
    return codes, view


def read_only(array: Array) -> Array:
    """The same array, which cannot be written through what is returned."""
    view = array[:]
    view.flags.writeable = False
    return view


def strings_from(data: Array, starts: Array) -> pa.Array:
    """An Arrow string array over bytes and n + 1 offsets."""
    offsets = pa.py_buffer(np.ascontiguousarray(starts, np.int32))
    return pa.StringArray.from_buffers(len(starts) - 1, offsets, pa.py_buffer(data))


@inlined
def mix(h: np.uint64) -> np.uint64:
    """The finalizer of SplitMix64 (Steele et al. 2014): every input bit moves every output bit."""
    h = (h ^ (h >> np.uint64(30))) * PRIME_C
    h = (h ^ (h >> np.uint64(27))) * PRIME_D
    return h ^ (h >> np.uint64(31))


@kernel()
def _hash_strings(data: Array, offsets: Array, hashes: Array) -> None:
    for row in range(offsets.size - 1):
        size = offsets[row + 1] - offsets[row]
        a, b = BASIS_A ^ np.uint64(size), BASIS_B + np.uint64(size)
        for i in range(offsets[row], offsets[row + 1]):
            a = (a ^ np.uint64(data[i])) * PRIME_A
            b = (b + np.uint64(data[i]) + np.uint64(1)) * PRIME_B
            b ^= b >> np.uint64(29)
        hashes[row, 0] = mix(a)
        hashes[row, 1] = mix(b)


def hash_strings(strings: pa.Array) -> Array:
    """Two independent hashes (n, 2) uint64 of each string; null is unlike every string."""
    data, offsets = string_buffers(strings.fill_null(""))
    hashes = np.empty((len(strings), 2), np.uint64)
    _hash_strings(data, offsets, hashes)
    hashes[np.asarray(strings.is_null())] = (1, 1)
    return hashes


def key_hashes(names: pa.Array) -> Array:
    """Hashes (n,) uint64 of names, 0 for null, as stores keep them (docs/store-format.md)."""
    return np.where(np.asarray(names.is_null()), np.uint64(0), hash_strings(names)[:, 0])


@kernel()
def _mix_hashes(h: Array, salt: int, out: Array) -> None:
    step = np.uint64(salt) * PRIME_B
    for i in range(h.size):
        out[i] = mix(mix(h[i] + step) ^ step)


def mix_hashes(h: Array, salt: int) -> Array:
    """A new hash (n,) uint64 of each hash: independent for different salts."""
    out = np.empty(len(h), np.uint64)
    _mix_hashes(np.ascontiguousarray(h), salt, out)
    return out
