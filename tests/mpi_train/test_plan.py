"""The plan: every review once an epoch, in an order that only the seed and the epoch decide."""

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.micro_batches import prefix_cost
from mpi_train.plan import Plan, cut, shuffled
from reviews.errors import UserError
from reviews.store import CHUNK_ROWS

SHARDS = st.lists(st.integers(0, 3 * CHUNK_ROWS), min_size=1, max_size=4).filter(any)
LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=80).map(sorted).map(np.array)


@lru_cache(maxsize=2)
def laid_out(plan: Plan, epoch: int, window: int) -> list[tuple[int, int]]:
    """(shard, row) of the rows of a window's chunks, one chunk behind the other."""
    return [
        (int(plan.chunk_shard[chunk]), int(plan.chunk_start[chunk]) + row)
        for chunk in plan.epoch(epoch).window_chunks(window)
        for row in range(plan.chunk_rows[chunk])
    ]


def rows_of(plan: Plan, epoch: int, first: int, last: int) -> list[tuple[int, int]]:
    """(shard, row) of the positions first to last of an epoch, by random access."""
    order = plan.epoch(epoch)
    found = []
    for window in order.windows(first, last):
        laid, start = laid_out(plan, epoch, window), int(order.starts[window])
        chosen = order.window_rows(window)[max(first - start, 0) : last - start]
        found += [laid[row] for row in chosen]
    return found


@settings(max_examples=40)
@given(shards=SHARDS, batch=st.integers(1, 3000), seed=st.integers(0, 9),
       epoch=st.integers(0, 5), window=st.integers(1, 5))
def test_every_review_is_trained_on_exactly_once_an_epoch(
    shards: list[int], batch: int, seed: int, epoch: int, window: int
) -> None:
    plan = Plan(shards, batch, seed, window)
    rows: list[tuple[int, int]] = []
    for update in range(plan.updates):
        part = rows_of(plan, epoch, *plan.span(update))
        assert len(part) == batch or update == plan.updates - 1
        rows += part
    assert sorted(rows) == [(shard, row) for shard, n in enumerate(shards) for row in range(n)]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {
        tuple(rows_of(Plan([3000, 500], 100, seed), epoch, 0, 3500))
        for seed in (0, 1) for epoch in (0, 1)
    }
    assert len(orders) == 4


def test_the_order_does_not_depend_on_the_batch_size() -> None:
    small, large = Plan([3000], 7, 3), Plan([3000], 1000, 3)
    assert rows_of(small, 2, 500, 900) == rows_of(large, 2, 500, 900)


def test_rows_that_lie_together_on_disk_end_up_apart() -> None:
    rows = [row for _, row in rows_of(Plan([64 * CHUNK_ROWS], 1, 0), 0, 0, 64 * CHUNK_ROWS)]
    neighbours = np.abs(np.diff(rows)) == 1
    assert neighbours.mean() < 0.001
    # And no part of the file waits for the end of the epoch.
    first = np.array(rows[: 8 * CHUNK_ROWS])
    assert np.bincount(first // (16 * CHUNK_ROWS), minlength=4).min() > CHUNK_ROWS


@given(n=st.integers(0, 400), key=st.integers(0, 2**64 - 1))
def test_a_shuffle_is_a_permutation(n: int, key: int) -> None:
    assert sorted(shuffled(n, key)) == list(range(n))


@given(lengths=LENGTHS,
       shares=st.lists(st.floats(0, 10), min_size=1, max_size=6).filter(lambda s: sum(s) > 0.01))
def test_cuts_come_as_near_to_the_shares_as_whole_reviews_can(
    lengths: np.ndarray, shares: list[float]
) -> None:
    prefix = prefix_cost(lengths, 500)
    bounds = cut(prefix, shares)
    assert bounds[0] == 0
    assert bounds[-1] == len(lengths)
    assert (np.diff(bounds) >= 0).all()
    wanted = np.cumsum(shares) / np.sum(shares) * prefix[-1]
    for boundary, target in zip(bounds[1:-1], wanted[:-1], strict=True):
        assert abs(prefix[boundary] - target) <= np.abs(prefix - target).min() + 1e-6


def test_a_share_of_nothing_is_nothing() -> None:
    prefix = prefix_cost(np.arange(1, 50), 100)
    sizes = np.diff(cut(prefix, (0.0, 1.0, 0.0, 2.0, 0.0)))
    assert (sizes[[0, 2, 4]] == 0).all()
    assert (sizes[[1, 3]] > 0).all()


def test_fewer_reviews_than_ranks_leave_some_ranks_without() -> None:
    sizes = np.diff(cut(prefix_cost(np.array([5, 6]), 100), (1.0,) * 5))
    assert sizes.sum() == 2
    assert sizes.min() == 0


def test_numbers_of_shares_and_ranks_must_agree() -> None:
    from mpi_train.configuration.groups import BalanceOptions

    assert BalanceOptions().ratios(3) == (1.0, 1.0, 1.0)
    assert BalanceOptions(shares=(3, 1)).ratios(2) == (3, 1)
    with pytest.raises(UserError, match="--shares names 2 ranks, but there are 3"):
        BalanceOptions(shares=(3, 1)).ratios(3)
