"""Tests over clusters of reviews, and slices by the keys that a store keeps."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from compare.analysis.keys import PRODUCTS, cluster_bootstrap, clusters_of, key_slices
from compare.rows import column
from compare.statistics import bootstrap
from reviews.store import NO_KEY, NO_TIME, Store
from reviews.text.strings import key_hashes
from tests.stores import make_store

Array = np.ndarray
SHOPS = key_hashes(pa.array(["north", "south", None]))


def products(rng: np.random.Generator, n: int) -> Array:
    return rng.integers(0, 15, n).astype(np.uint64)  # 0: none


def times(rng: np.random.Generator, n: int) -> Array:
    """Half of the reviews in 1969, the others in 2020 or without a time."""
    return np.where(rng.random(n) < 0.5, -86_400,
                    np.where(rng.random(n) < 0.5, 1_580_000_000, NO_TIME))


def shops(rng: np.random.Generator, n: int) -> Array:
    return rng.choice(SHOPS, n)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = make_store(tmp_path_factory.mktemp("keys") / "store", {"train": 4, "test": 400},
                      keys={"product": products, "time": times, "source": shops})
    made.manifest["keys"]["source"]["names"] = ["north", "south"]
    return made


def test_the_reviews_of_a_product_are_a_cluster_and_those_without_one_are_alone(
    store: Store
) -> None:
    ids, product = column(store, "test", "review_id"), column(store, "test", "product")
    order = np.random.default_rng(0).permutation(len(ids))[:300]
    found = clusters_of(store, "test", ids[order])
    assert found.keys() == {"product"}
    clusters, names = found["product"], product[order]
    same = clusters[:, None] == clusters
    wanted = (names[:, None] == names) & (names != NO_KEY)
    assert (same == (wanted | np.eye(len(order), dtype=bool))).all()
    assert set(clusters) == set(range(clusters.max() + 1))


def test_a_store_without_keys_has_neither(tmp_path: Path) -> None:
    bare = make_store(tmp_path / "store", {"train": 4, "test": 9})
    ids = column(bare, "test", "review_id")
    assert clusters_of(bare, "test", ids) == {}
    assert not list(key_slices(bare, "test", np.arange(9)))


def test_slices_are_the_reviews_of_each_source_year_and_common_product(store: Store) -> None:
    order = np.argsort(column(store, "test", "review_id"))
    kept = {key: column(store, "test", key)[order] for key in store.keys}
    found = {(by, name): member for by, name, member in key_slices(store, "test", order)}
    for number, name in enumerate(("north", "south")):
        np.testing.assert_array_equal(found.pop(("source", name)), kept["source"] == SHOPS[number])
    np.testing.assert_array_equal(found.pop(("year", "1969")), kept["time"] == -86_400)
    np.testing.assert_array_equal(found.pop(("year", "2020")), kept["time"] == 1_580_000_000)
    counts = np.bincount(kept["product"].astype(np.int64))[1:]
    assert len(found) == PRODUCTS
    assert {by for by, _ in found} == {"product"}
    assert sorted(int(member.sum()) for member in found.values()) == sorted(counts)[-PRODUCTS:]
    for (_, name), member in found.items():
        np.testing.assert_array_equal(member, kept["product"] == int(name, 16))


def test_clusters_of_one_are_the_bootstrap_over_reviews() -> None:
    rng = np.random.default_rng(1)
    first, second = (rng.random((2, 800)) < chance for chance in (0.9, 0.88))
    one, other = first.astype(float), second.astype(float)
    low, high, p = cluster_bootstrap(one, other, np.arange(800))
    reviews = bootstrap(one, other)
    assert (low, high, p) == pytest.approx(reviews, abs=0.02)
    assert low < (one.mean() - other.mean()) < high


def test_the_interval_is_that_of_drawing_clusters_one_by_one() -> None:
    rng = np.random.default_rng(2)
    clusters = np.sort(rng.integers(0, 60, 900))
    clusters = np.unique(clusters, return_inverse=True)[1]
    hard = rng.random(60)[clusters]
    one, other = ((rng.random((1, 900)) < chance).astype(float) for chance in (hard, hard * 0.8))
    each = (one - other)[0]
    members = [np.flatnonzero(clusters == number) for number in range(clusters.max() + 1)]
    means = []
    for _ in range(4000):
        drawn = rng.integers(0, len(members), len(members))
        means.append(each[np.concatenate([members[number] for number in drawn])].mean())
    low, high, _ = cluster_bootstrap(one, other, clusters)
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.006)


def test_differences_between_products_are_no_difference_between_models() -> None:
    """Of two equal models, one is better on some products, the other on others."""
    clusters, rejected = np.repeat(np.arange(60), 15), {"reviews": 0, "products": 0}
    rng = np.random.default_rng(3)
    for number in range(200):
        shift = np.repeat(rng.normal(0, 0.15, 60), 15)
        one, other = ((rng.random((1, 900)) < 0.8 + sign * shift / 2).astype(float)
                      for sign in (1, -1))
        rejected["reviews"] += bootstrap(one, other, number)[2] < 0.05
        rejected["products"] += cluster_bootstrap(one, other, clusters, number)[2] < 0.05
    assert rejected["products"] <= 20 < rejected["reviews"]
