"""Reviews that belong together, by the keys that a store keeps: clusters of tests, and slices."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from compare.rows import column
from compare.statistics import LEVEL, RESAMPLES
from reviews.store import NO_KEY, NO_TIME, Store
from reviews.text.strings import key_hashes

Array = np.ndarray
CLUSTER_KEYS = ("product", "reviewer")
PRODUCTS = 10  # slices: the products with the most reviews


def clusters_of(store: Store, split: str, ids: Array) -> dict[str, Array]:
    """Cluster numbers (n,) of the reviews with these review_ids (n,), by product and by reviewer
    where the store keeps them. A review without the key is a cluster by itself."""
    every = column(store, split, "review_id")
    order = np.argsort(every, kind="stable")
    at = order[np.searchsorted(every[order], ids)]
    found = {}
    for key in (key for key in CLUSTER_KEYS if key in store.keys):
        values = column(store, split, key)[at]
        alone = values == NO_KEY
        names = np.where(alone, ids, values)
        pairs = np.stack([alone.astype(np.uint64), names], 1)
        found[key] = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    return found


def cluster_bootstrap(
    first: Array, second: Array, clusters: Array, seed: int = 0
) -> tuple[float, float, float]:
    """Paired bootstrap over clusters of reviews of the difference of mean accuracies.

    Reviews of one product or reviewer are alike, so that fewer than their number are independent:
    clusters are drawn, with all of their reviews (Field and Welsh 2007).

    Args:
        first, second: right (S, n), as for compare.statistics.bootstrap.
        clusters: (n,) numbers of the clusters, from 0.

    Returns:
        low and high end of the 95 % percentile interval, and p of no difference.
    """
    each = first.mean(0) - second.mean(0)
    sums, sizes = np.bincount(clusters, each), np.bincount(clusters)
    # Few kinds of clusters occur, so their counts are drawn instead of the clusters.
    kinds, counts = np.unique(np.stack([sums, sizes], 1).round(9), axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(
        len(sums), counts / len(sums), size=RESAMPLES)
    means = (drawn @ kinds[:, 0]) / (drawn @ kinds[:, 1])
    low, high = np.quantile(means, [LEVEL / 2, 1 - LEVEL / 2])
    mean = each.mean()
    # As far from the mean as 0 is; rounding must not decide.
    further = np.sum(np.abs(means - mean) >= abs(mean) - 1e-9)
    return float(low), float(high), float((further + 1) / (RESAMPLES + 1))


def key_slices(store: Store, split: str, order: Array) -> Iterator[tuple[str, str, Array]]:
    """Kind, name and members (n,) of each slice by source, year and product, over the reviews of
    a split in some order; products are named by their hashes."""
    kept = {key: column(store, split, key)[order] for key in store.keys}
    for name in store.manifest.get("keys", {}).get("source", {}).get("names", []):
        yield "source", name, kept["source"] == key_hashes(pa.array([name]))[0]
    if "time" in kept:
        there = kept["time"] != NO_TIME
        seconds = np.where(there, kept["time"], 0)
        years = seconds.astype("datetime64[s]").astype("datetime64[Y]").astype(np.int64) + 1970
        for year in np.unique(years[there]).tolist():
            yield "year", str(year), there & (years == year)
    if "product" in kept:
        products, counts = np.unique(kept["product"][kept["product"] != NO_KEY],
                                     return_counts=True)
        for product in products[np.argsort(-counts, kind="stable")[:PRODUCTS]]:
            yield "product", f"{int(product):016x}", kept["product"] == product
