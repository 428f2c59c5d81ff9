"""Histograms say the same however keys were divided, and cut them where it was asked."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapreduce.partitions.histogram import BINS, Histogram
from mapreduce.partitions.splitting import Cuts, cuts_of, sampled
from reviews.errors import UserError
from reviews.recipe import Selection

KEYS = st.integers(0, 2**64 - 1) | st.integers(0, 50)


def array(keys: list[int]) -> np.ndarray:
    return np.array(keys, np.uint64)


@settings(max_examples=200)
@given(parts=st.lists(st.lists(KEYS, max_size=30), min_size=1, max_size=5), data=st.data())
def test_the_histogram_of_parts_merged_in_any_order_is_that_of_the_whole(
    parts: list[list[int]], data: st.DataObject
) -> None:
    whole = Histogram.of(array([key for part in parts for key in part]))
    merged = Histogram.of(array([]))
    for part in data.draw(st.permutations(parts)):
        merged = merged.merge(Histogram.of(array(part)))
    assert merged.encode() == whole.encode()


def test_merging_many_keys_keeps_to_the_bins_and_to_the_whole() -> None:
    keys = np.random.default_rng(0).integers(0, 2**63, 50_000).astype(np.uint64)
    merged = Histogram.of(keys[:0])
    for part in np.array_split(keys, 13):
        merged = merged.merge(Histogram.of(part))
    assert merged.encode() == Histogram.of(keys).encode()
    assert BINS / 2 < len(merged.bins) <= BINS
    assert merged.total == len(keys)


@given(st.lists(KEYS, max_size=50))
def test_a_histogram_survives_being_text(keys: list[int]) -> None:
    one = Histogram.of(array(keys))
    two = Histogram.decode(one.encode())
    assert (two.shift, two.bins.tolist(), two.counts.tolist()) == (
        one.shift, one.bins.tolist(), one.counts.tolist())


@given(keys=st.lists(KEYS, min_size=1, max_size=60, unique=True), part=st.floats(0, 1))
def test_few_distinct_keys_are_cut_at_the_nearest_rank(keys: list[int], part: float) -> None:
    rank = part * len(keys)
    below = sum(key < Histogram.of(array(keys)).cut(rank) for key in keys)
    assert abs(below - rank) <= 0.5 + 1e-9


def test_many_keys_are_cut_within_a_bin_of_the_rank() -> None:
    keys = np.random.default_rng(1).integers(0, 2**64, 200_000, np.uint64)
    histogram = Histogram.of(keys)
    for rank in (0, 1, 20_000, 100_000, 199_999, 200_000):
        boundary = histogram.cut(rank)
        below = len(keys) if boundary >= 2**64 else int((keys < np.uint64(boundary)).sum())
        assert abs(below - rank) <= 0.001 * len(keys)


def line(keys: np.ndarray, given_rows: tuple[int, int, int] = (0, 0, 0)) -> dict:
    return {"histograms": {"0": Histogram.of(keys).encode()}, "given": given_rows,
            "given_splits": [rows > 0 for rows in given_rows]}


@pytest.mark.parametrize("split", [(0.8, 0.1, 0.1), (0.9, 0, 0.1), (1, 0, 0), (0.5, 0.2, 0.1),
                                   (0, 0, 1), (300, 200, 100)])
def test_cuts_give_every_split_its_part(split: tuple[float, ...]) -> None:
    keys = np.random.default_rng(2).integers(0, 2**64, 1000, np.uint64)
    cuts = cuts_of(Selection(split=split), [line(keys[:400]), line(keys[400:])])
    nothing = np.zeros(1000, np.uint8)
    rows = np.bincount(cuts.assign(nothing, keys, nothing), minlength=4)
    wanted = np.array(split) * (1 if max(split) > 1 else 1000)
    assert np.abs(rows[:3] - wanted).max() <= 1
    if sum(wanted) == 1000:
        assert rows[3] == 0


def test_a_given_split_replaces_its_fraction() -> None:
    keys = np.random.default_rng(3).integers(0, 2**64, 900, np.uint64)
    cuts = cuts_of(Selection(split=(0.8, 0.1, 0.1)), [line(keys, (0, 0, 50))])
    nothing = np.zeros(900, np.uint8)
    rows = np.bincount(cuts.assign(nothing, keys, nothing), minlength=4)
    assert rows.tolist() == [800, 100, 0, 0]


def test_rows_that_came_with_a_split_keep_it() -> None:
    cuts = Cuts({0: (2**64, 2**64, 2**64)})
    given_split = np.array([0, 1, 2], np.uint8)
    assert cuts.assign(np.zeros(3, np.uint8), array([1, 2, 3]), given_split).tolist() == [0, 1, 2]


def test_more_rows_than_there_are_cannot_be_asked_for() -> None:
    with pytest.raises(UserError, match="asks for 30 rows, but the corpus has 3"):
        cuts_of(Selection(split=(10, 10, 10)), [line(array([1, 2, 3]))])


def test_a_sample_is_as_large_as_asked_and_part_of_every_larger_one() -> None:
    keys = np.random.default_rng(4).integers(0, 2**64, 20_000, np.uint64)
    samples = [sampled(keys, Selection(sample=part)) for part in (0.01, 0.2, 0.5, 1.0)]
    assert [round(s.mean(), 1) for s in samples] == [0.0, 0.2, 0.5, 1.0]
    assert all((smaller <= larger).all() for smaller, larger in pairwise(samples))
