"""Results of a comparison: a summary of each system, and its difference from the reference."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

import numpy as np

from compare.statistics import (
    binomial_error,
    bonferroni,
    bootstrap,
    holm,
    mcnemar,
    paired_t,
    seed_deviation,
    seeds_and_reviews,
)

Array = np.ndarray
Result = Mapping[str, Any]
SCORES = ("accuracy", "f1_macro", "roc_auc")
TESTS = ("t", "mcnemar", "bootstrap", "seeds_and_reviews")


def summarize(results: Sequence[Result]) -> dict[str, Any]:
    """One system's figures: means over its runs with their deviation over seeds, and of the
    accuracy the standard error of drawing the test reviews. Memory is the most of any run."""
    summary: dict[str, Any] = {"model": results[0]["model"],
                               "seeds": [result["seed"] for result in results]}
    for name in SCORES:
        values = [result[name] for result in results]
        known = None not in values
        summary[name] = fmean(values) if known else None
        summary[f"{name}_seed_deviation"] = seed_deviation(values) if known else None
    summary["accuracy_test_error"] = binomial_error(summary["accuracy"], results[0]["n"])
    for name in ("train_s", "reviews_per_s", "bytes"):
        summary[name] = fmean(result[name] for result in results)
    summary["peak_bytes"] = max(result["peak_bytes"] for result in results)
    return summary


def compare(
    results: Mapping[str, Sequence[Result]], right: Mapping[str, Array], reference: str
) -> list[dict[str, Any]]:
    """Differences of all systems from the reference, in the order of the mapping.

    Args:
        results: finished runs by system.
        right: (S, n) by system, as compare.statistics has it.

    Each has `difference` (Difference as a mapping), `bootstrap_low` and `bootstrap_high`, and
    under `p` for each test its p, and p by Holm and by Bonferroni over all systems that it could
    be done for; None where it could not.
    """
    others = [name for name in results if name != reference]
    found: dict[str, dict[str, float]] = {test: {} for test in TESTS}
    rows = []
    for name in others:
        t = _paired_by_seed(results[name], results[reference])
        if t is not None:
            found["t"][name] = t
        found["mcnemar"][name] = mcnemar(right[name][0], right[reference][0])
        low, high, found["bootstrap"][name] = bootstrap(right[name], right[reference])
        difference = seeds_and_reviews(right[name], right[reference])
        found["seeds_and_reviews"][name] = difference.p
        rows.append({"model": name, "difference": asdict(difference),
                     "bootstrap_low": low, "bootstrap_high": high})
    adjusted = {test: (values, holm(values), bonferroni(values))
                for test, values in found.items()}
    for row in rows:
        row["p"] = {
            test: {"p": p[row["model"]], "holm": by_holm[row["model"]],
                   "bonferroni": by_bonferroni[row["model"]]} if row["model"] in p else None
            for test, (p, by_holm, by_bonferroni) in adjusted.items()}
    return rows


def _paired_by_seed(one: Sequence[Result], other: Sequence[Result]) -> float | None:
    """p of the paired t-test over the seeds that both systems have."""
    first, second = ({result["seed"]: result["accuracy"] for result in runs}
                     for runs in (one, other))
    both = sorted(first.keys() & second.keys())
    return paired_t([first[seed] for seed in both], [second[seed] for seed in both])
