"""Results of a comparison: a summary of each system, and its difference from the reference."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

import numpy as np

from compare.analysis.keys import cluster_bootstrap
from compare.statistics import (
    Difference,
    binomial_error,
    bonferroni,
    bootstrap,
    corrected_t,
    holm,
    mcnemar,
    paired_t,
    seed_deviation,
    seeds_and_reviews,
)

Array = np.ndarray
Result = Mapping[str, Any]
SCORES = ("accuracy", "f1_macro", "roc_auc")
NO_CLUSTERS: Mapping[str, Array] = {}
SEEDS, FOLDS = "seeds_and_reviews", "folds"  # the test to quote over seeds, and over folds


def summarize(results: Sequence[Result], folds: bool = False) -> dict[str, Any]:
    """One system's figures: means over its runs with their deviation over seeds, and of the
    accuracy the standard error of drawing the test reviews. Memory is the most of any run. Folds
    count as seeds do."""
    summary: dict[str, Any] = {"model": results[0]["model"],
                               "seeds": [result["seed"] for result in results]}
    for name in SCORES:
        values = [result[name] for result in results]
        known = None not in values
        summary[name] = fmean(values) if known else None
        summary[f"{name}_seed_deviation"] = seed_deviation(values) if known else None
    summary["accuracy_test_error"] = binomial_error(
        summary["accuracy"], sum(result["n"] for result in results) if folds else results[0]["n"])
    if all("rating_rmse" in result for result in results):
        summary |= _rating_summary(results, folds)
    for name in ("train_s", "reviews_per_s", "bytes"):
        summary[name] = fmean(result[name] for result in results)
    summary["peak_bytes"] = max(result["peak_bytes"] for result in results)
    return summary


def _rating_summary(results: Sequence[Result], folds: bool) -> dict[str, Any]:
    """Mean of the ratings' errors with their deviation over seeds, and its standard error from the
    draw of the test reviews, which folds have of their own."""
    values = [result["rating_rmse"] for result in results]
    errors = np.array([result["rating_rmse_test_error"] for result in results])
    error = np.sqrt((errors**2).sum()) / len(errors) if folds else errors.mean()
    return {"rating_rmse": fmean(values), "rating_rmse_seed_deviation": seed_deviation(values),
            "rating_rmse_test_error": float(error)}


def compare(
    results: Mapping[str, Sequence[Result]], right: Mapping[str, Sequence[Array]],
    reference: str, folds: bool = False, clusters: Mapping[str, Array] = NO_CLUSTERS,
) -> list[dict[str, Any]]:
    """Differences of all systems from the reference, in the order of the mapping.

    Args:
        results: finished runs by system.
        right: by system, of each of these runs (n,): 1.0 where it judged a review as its label
            says. Runs of one seed have the same n reviews; each fold has its own.
        folds: the runs are folds of a cross-validation, and not seeds.
        clusters: numbers of the clusters (n,) of the reviews by key, for tests over clusters.

    Each has `difference` (Difference as a mapping), `bootstrap_low` and `bootstrap_high`, and
    under `p` for each test its p, and p by Holm and by Bonferroni over all systems that it could
    be done for; None where it could not. A system that shares fewer than two folds with the
    reference has no difference.
    """
    tests = [FOLDS, "mcnemar", "bootstrap"] if folds else ["t", "mcnemar", "bootstrap", SEEDS]
    tests += [f"{key}_bootstrap" for key in clusters]
    found: dict[str, dict[str, float]] = {test: {} for test in tests}
    rows = []
    for name in (name for name in results if name != reference):
        pair = _pair(name, reference, results, right, folds)
        if pair is None:
            continue
        difference, first, second = pair
        found[FOLDS if folds else SEEDS][name] = difference.p
        t = None if folds else _paired_by_seed(results[name], results[reference])
        if t is not None:
            found["t"][name] = t
        found["mcnemar"][name] = mcnemar(first[0], second[0])
        low, high, found["bootstrap"][name] = bootstrap(first, second)
        rows.append({"model": name, "difference": asdict(difference),
                     "bootstrap_low": low, "bootstrap_high": high})
        for key, numbers in clusters.items():
            *_, found[f"{key}_bootstrap"][name] = cluster_bootstrap(first, second, numbers)
    adjusted = {test: (values, holm(values), bonferroni(values))
                for test, values in found.items()}
    for row in rows:
        row["p"] = {
            test: {"p": p[row["model"]], "holm": by_holm[row["model"]],
                   "bonferroni": by_bonferroni[row["model"]]} if row["model"] in p else None
            for test, (p, by_holm, by_bonferroni) in adjusted.items()}
    return rows


def _pair(
    name: str, reference: str, results: Mapping[str, Sequence[Result]],
    right: Mapping[str, Sequence[Array]], folds: bool,
) -> tuple[Difference, Array, Array] | None:
    """The difference of two systems, and `right` (S, n) of both over the same reviews: a row for
    each seed, or one for all folds that both have."""
    if not folds:
        first, second = np.array(right[name]), np.array(right[reference])
        return seeds_and_reviews(first, second), first, second
    by_fold = [{result["seed"]: (result["accuracy"], judged)
                for result, judged in zip(results[one], right[one], strict=True)}
               for one in (name, reference)]
    both = sorted(by_fold[0].keys() & by_fold[1].keys())
    difference = corrected_t(*([of[fold][0] for fold in both] for of in by_fold))
    if difference is None:
        return None
    pooled = [np.concatenate([of[fold][1] for fold in both])[None] for of in by_fold]
    return difference, pooled[0], pooled[1]


def _paired_by_seed(one: Sequence[Result], other: Sequence[Result]) -> float | None:
    """p of the paired t-test over the seeds that both systems have."""
    first, second = ({result["seed"]: result["accuracy"] for result in runs}
                     for runs in (one, other))
    both = sorted(first.keys() & second.keys())
    return paired_t([first[seed] for seed in both], [second[seed] for seed in both])
