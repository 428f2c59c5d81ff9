"""Hashes: fixed numbers, whatever the library's version."""

import numpy as np

from reviews.hashing import GOLDEN, hash_key, mix


def test_the_output_function_is_that_of_splitmix64() -> None:
    # The first outputs of the generator with the state 0, as its authors' code has them.
    states = np.arange(1, 4, dtype=np.uint64) * np.uint64(GOLDEN)
    assert mix(states).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_keys_depend_on_the_order_of_their_parts() -> None:
    assert len({hash_key(1, 2), hash_key(2, 1), hash_key(1), hash_key(1, 2, 0)}) == 4
