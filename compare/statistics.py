"""Statistics of a comparison: errors of a figure, paired tests, chance of practical equality.

Two kinds of noise stand behind an accuracy: the seed of the training, and the draw of the test
reviews. The t-test sees the first alone, McNemar's test and the bootstrap the second alone;
`seeds_and_reviews` adds their variances. `right` is 1.0 where a model judged a review as its
label says, else 0.0: (S, n) for S seeds and n test reviews, in the same order for both models.
Over folds, trainings share most of their rows, which `corrected_t` takes into account.
Differences are the first model's accuracy minus the second's, as fractions.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

Array = np.ndarray
# Differences below it are of no practical use: 0.2 points of accuracy.
PRACTICAL = 0.002
RESAMPLES = 2_000
LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """Difference of two accuracies, with what is known of its error.

    worse, equal, better: chances that the true difference is below, within, above +- PRACTICAL,
    under a flat prior. power: chance that a true difference of 0.5 points would be found.
    """

    mean: float
    low: float
    high: float
    p: float
    worse: float
    equal: float
    better: float
    power: float


def seed_deviation(values: Sequence[float]) -> float | None:
    """Standard deviation over seeds (n - 1 in the denominator); None for fewer than two."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def binomial_error(accuracy: float, reviews: int) -> float:
    """Standard error of an accuracy that comes from the draw of the test reviews."""
    return math.sqrt(accuracy * (1 - accuracy) / reviews)


def paired_t(first: Sequence[float], second: Sequence[float]) -> float | None:
    """p of the paired t-test over figures of the same seeds.

    None for fewer than two seeds, and where either model or the difference does not vary: the
    test divides by that deviation, and a deterministic model has no seeds to test over.
    """
    if len(first) < 2 or len(first) != len(second):
        return None
    one, other = np.asarray(first, float), np.asarray(second, float)
    if min(np.ptp(one), np.ptp(other)) == 0 or np.ptp(one - other) < 1e-12:
        return None
    return float(stats.ttest_rel(one, other).pvalue)


def mcnemar(first: Array, second: Array) -> float:
    """p of McNemar's exact test on the reviews that one model alone judged right; both (n,)."""
    one = int(np.sum((first > 0) & (second == 0)))
    other = int(np.sum((first == 0) & (second > 0)))
    return float(stats.binomtest(one, one + other).pvalue) if one + other else 1.0


def bootstrap(first: Array, second: Array, seed: int = 0) -> tuple[float, float, float]:
    """Paired bootstrap over reviews of the difference of mean accuracies.

    Args:
        first, second: right (S, n); the numbers of seeds may differ.
        seed: of the resampling.

    Returns:
        low and high end of the 95 % percentile interval, and p of no difference.
    """
    each = first.mean(0) - second.mean(0)
    # Few distinct values occur, so their counts are drawn instead of the reviews.
    values, counts = np.unique(each, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(
        len(each), counts / len(each), size=RESAMPLES)
    means = drawn @ values / len(each)
    low, high = np.quantile(means, [LEVEL / 2, 1 - LEVEL / 2])
    mean = each.mean()
    # As far from the mean as 0 is; rounding must not decide.
    further = np.sum(np.abs(means - mean) >= abs(mean) - 1e-12)
    return float(low), float(high), float((further + 1) / (RESAMPLES + 1))


def seeds_and_reviews(first: Array, second: Array) -> Difference:
    """Difference of mean accuracies, with the noise of both seeds and test reviews.

    Variances add: of the difference per review, means over seeds, and of each model's accuracy
    per seed. Degrees of freedom are those of Welch and Satterthwaite. A model of one run adds no
    variance of seeds: that is so of a deterministic one, and unknown of any other.
    """
    each = first.mean(0) - second.mean(0)
    parts = [(each.var(ddof=1) / len(each), len(each) - 1)]
    for right in (first, second):
        if len(right) > 1:
            parts.append((right.mean(1).var(ddof=1) / len(right), len(right) - 1))
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / n for part, n in parts) if variance else math.inf
    return _difference(float(each.mean()), variance, freedom)


def corrected_t(first: Sequence[float], second: Sequence[float]) -> Difference | None:
    """Difference of mean accuracies over the K folds of a cross-validation.

    The variance of the mean is that of the differences times 1/K + n_test/n_train = 1/K + 1/(K-1)
    (Nadeau and Bengio 2003), with K - 1 degrees of freedom. None for fewer than two folds.
    """
    folds = len(first)
    if folds < 2 or folds != len(second):
        return None
    each = np.subtract(first, second)
    variance = float(each.var(ddof=1)) * (1 / folds + 1 / (folds - 1))
    return _difference(float(each.mean()), variance, folds - 1)


def _difference(mean: float, variance: float, freedom: float) -> Difference:
    """Difference with the errors that an estimated variance and its degrees of freedom give."""
    if variance == 0:
        beyond = float(mean > PRACTICAL), float(mean < -PRACTICAL)
        return Difference(mean, mean, mean, float(mean == 0), beyond[1],
                          1 - sum(beyond), beyond[0], 1.0)
    error = math.sqrt(variance)
    spread = stats.t(freedom, mean, error)
    low, high = spread.interval(1 - LEVEL)
    worse, better = float(spread.cdf(-PRACTICAL)), float(spread.sf(PRACTICAL))
    p = 2 * float(stats.t.sf(abs(mean) / error, freedom))
    equal = max(0.0, 1 - worse - better)  # rounding must not make it negative
    return Difference(mean, float(low), float(high), p, worse, equal, better,
                      power(error, freedom))


def power(error: float, freedom: float, difference: float = 0.005) -> float:
    """Chance that a true difference is found, for a standard error and its degrees of freedom."""
    limit = stats.t.ppf(1 - LEVEL / 2, freedom)
    shift = difference / error
    return float(stats.nct.sf(limit, freedom, shift) + stats.nct.cdf(-limit, freedom, shift))


def bonferroni(values: Mapping[str, float]) -> dict[str, float]:
    """p values by name, each times their number."""
    return {name: min(1.0, p * len(values)) for name, p in values.items()}


def holm(values: Mapping[str, float]) -> dict[str, float]:
    """p values by name, adjusted by Holm's step-down rule: never above Bonferroni's."""
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(values, key=lambda name: values[name])):
        largest = max(largest, min(1.0, values[name] * (len(values) - rank)))
        adjusted[name] = largest
    return adjusted
