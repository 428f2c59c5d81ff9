"""Micro-batches of sorted reviews, and what they cost."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.micro_batches import micro_batches, prefix_cost

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=80).map(sorted).map(np.array)


@given(lengths=LENGTHS, limit=st.integers(1, 2000))
def test_micro_batches_are_as_long_as_the_limit_lets_them(
    lengths: np.ndarray, limit: int
) -> None:
    bounds = micro_batches(lengths, limit)
    assert bounds[0] == 0
    assert bounds[-1] == len(lengths)
    for first, last in pairwise(bounds.tolist()):
        assert last > first
        assert last - first == 1 or (last - first) * lengths[last - 1] <= limit
        if last < len(lengths):
            assert (last - first + 1) * lengths[last] > limit


@given(lengths=LENGTHS, limit=st.integers(1, 2000))
def test_the_cost_of_a_prefix_is_its_padded_tokens(lengths: np.ndarray, limit: int) -> None:
    prefix = prefix_cost(lengths, limit)
    bounds = micro_batches(lengths, limit)
    padded = sum((b - a) * int(lengths[b - 1]) for a, b in pairwise(bounds.tolist()))
    assert prefix[0] == 0
    assert prefix[-1] == padded
    assert (np.diff(prefix) >= lengths).all()
