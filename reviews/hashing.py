"""Hashes in the place of random generators: the same numbers with any version of any library."""

import numpy as np

Array = np.ndarray

# SplitMix64: its steps, 2^64 over the golden ratio, and the multipliers of its output function.
GOLDEN = 0x9E3779B97F4A7C15
FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def mix(values: Array) -> Array:
    """SplitMix64's output function (Steele et al. 2014) over uint64 values of any shape."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(FIRST)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(SECOND)
    return values ^ (values >> np.uint64(31))  # type: ignore[no-any-return]


def hash_key(*parts: int) -> int:
    """One 64-bit number out of several whole numbers; their order matters."""
    state = np.zeros(1, np.uint64)
    for part in parts:
        state = mix(state * np.uint64(3) + np.uint64((part * GOLDEN + GOLDEN) % (1 << 64)))
    return int(state[0])
