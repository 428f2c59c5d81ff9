"""Efficiency and its ceiling, by hand."""

import numpy as np
import pytest

from mpi_train.balance.efficiency import ceiling, efficiency


def test_ranks_that_never_wait_reach_all() -> None:
    assert efficiency(np.array([30, 10]), np.array([2.0, 2.0]), np.zeros(2), 2.0) == 1


def test_waiting_for_a_slow_rank_costs_what_the_fast_one_could_have_done() -> None:
    # Alone, 10 reviews take 1 s on rank 0 and 4 s on rank 1: 12.5 reviews/s; together 5.
    reached = efficiency(np.array([10, 10]), np.array([1.0, 4.0]), np.zeros(2), 4.0)
    assert reached == pytest.approx(5 / 12.5)


def test_a_rank_without_reviews_does_not_count() -> None:
    parked = efficiency(np.array([10, 0]), np.array([1.0, 0.0]), np.zeros(2), 1.0)
    assert parked == 1


def test_equal_ranks_have_the_ceiling_of_their_exchange() -> None:
    # Two ranks with 100 tokens of 0.01 s each, and 0.1 s of exchange.
    found = ceiling(np.zeros(2), np.full(2, 0.01), np.full(2, 0.1), 200.0)
    assert found == pytest.approx(1.0 / 1.1)


def test_all_wait_for_the_longest_exchange() -> None:
    found = ceiling(np.zeros(2), np.full(2, 0.01), np.array([0.1, 1.0]), 200.0)
    assert found == pytest.approx(1.0 / 2.0)
