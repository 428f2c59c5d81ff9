"""Statistics of a comparison, against SciPy and by simulation."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score

from compare.statistics import (
    PRACTICAL,
    binomial_error,
    bonferroni,
    bootstrap,
    corrected_t,
    holm,
    mcnemar,
    paired_t,
    power,
    seed_deviation,
    seeds_and_reviews,
)

Array = np.ndarray


def judgements(
    rng: np.random.Generator, seeds: int, hardness: Array, shift: float = 0.0,
    seed_noise: float = 0.0,
) -> Array:
    """right (S, n): each seed's chance on a review is 1 - hardness, plus shift and its noise."""
    chance = 1 - hardness + shift + rng.normal(0, seed_noise, (seeds, 1))
    return (rng.random((seeds, len(hardness))) < chance).astype(float)


def rejections(test: str, seed_noise: float, seeds: int = 5, rounds: int = 1_000) -> float:
    """Part of simulated comparisons without a difference that a test rejects at 5 %."""
    rng = np.random.default_rng(20)
    rejected = 0
    for number in range(rounds):
        hardness = np.where(rng.random(1_500) < 0.15, 0.5, 0.02)
        one, other = (judgements(rng, seeds, hardness, seed_noise=seed_noise) for _ in range(2))
        if test == "t":
            p = paired_t(one.mean(1).tolist(), other.mean(1).tolist())
        elif test == "mcnemar":
            p = mcnemar(one[0], other[0])
        elif test == "bootstrap":
            p = bootstrap(one, other, number)[2]
        else:
            p = seeds_and_reviews(one, other).p
        assert p is not None
        rejected += p < 0.05
    return rejected / rounds


@pytest.mark.parametrize(("test", "seed_noise"), [
    ("t", 0.0), ("t", 0.01), ("mcnemar", 0.0), ("bootstrap", 0.0), ("both", 0.0), ("both", 0.01)])
def test_without_a_difference_at_most_6_4_percent_are_rejected(
    test: str, seed_noise: float
) -> None:
    assert rejections(test, seed_noise) <= 0.064


def test_reviews_alone_do_not_see_the_noise_of_seeds() -> None:
    assert rejections("bootstrap", 0.01, rounds=200) > 0.2


def test_a_family_of_comparisons_is_rejected_no_more_often_than_one() -> None:
    rng = np.random.default_rng(3)
    families = rng.random((1_000, 10))
    named = [{str(i): float(p) for i, p in enumerate(family)} for family in families]
    for adjust in (holm, bonferroni):
        assert np.mean([min(adjust(values).values()) < 0.05 for values in named]) <= 0.064


def test_the_paired_t_test_is_scipys() -> None:
    one, other = [0.91, 0.92, 0.93], [0.90, 0.92, 0.91]
    assert paired_t(one, other) == pytest.approx(stats.ttest_rel(one, other).pvalue)


@pytest.mark.parametrize(("one", "other"), [
    ([0.9], [0.8]), ([0.9, 0.9], [0.8, 0.81]), ([0.9, 0.91], [0.8, 0.81]), ([0.9, 0.9], [0.8])])
def test_there_is_no_t_without_deviation_or_without_pairs(
    one: list[float], other: list[float]
) -> None:
    assert paired_t(one, other) is None


def test_mcnemar_is_the_binomial_test_of_the_reviews_judged_differently() -> None:
    one = np.array([1, 1, 1, 1, 1, 0, 0, 1, 0.0])
    other = np.array([0, 0, 0, 0, 1, 1, 0, 1, 0.0])
    assert mcnemar(one, other) == pytest.approx(2 * (1 + 5) / 2**5)
    assert mcnemar(one, one) == 1.0


def test_the_bootstrap_is_scipys_within_its_resampling() -> None:
    rng = np.random.default_rng(0)
    hardness = np.full(2_000, 0.1)
    one, other = judgements(rng, 3, hardness, 0.02), judgements(rng, 3, hardness)
    each = one.mean(0) - other.mean(0)
    theirs = stats.bootstrap((each,), np.mean, n_resamples=2_000, method="percentile",
                             rng=np.random.default_rng(1)).confidence_interval
    low, high, p = bootstrap(one, other)
    width = theirs.high - theirs.low
    assert [low, high] == pytest.approx([theirs.low, theirs.high], abs=0.1 * width)
    assert p == pytest.approx(2 * stats.norm.sf(each.mean() / stats.sem(each)), abs=0.01)


def test_one_run_each_is_tested_by_the_reviews_as_scipy_does() -> None:
    rng = np.random.default_rng(0)
    one, other = (judgements(rng, 1, np.full(500, 0.2)) for _ in range(2))
    theirs = stats.ttest_rel(one[0], other[0])
    ours = seeds_and_reviews(one, other)
    assert ours.p == pytest.approx(theirs.pvalue)
    interval = theirs.confidence_interval()
    assert [ours.low, ours.high] == pytest.approx([interval.low, interval.high])


def test_the_same_judgements_are_equal_for_sure() -> None:
    right = judgements(np.random.default_rng(0), 1, np.full(500, 0.2))
    found = seeds_and_reviews(right, right)
    assert (found.mean, found.p, found.worse, found.equal, found.better) == (0, 1, 0, 1, 0)


def test_chances_follow_the_size_of_the_difference() -> None:
    rng = np.random.default_rng(0)
    hardness = np.full(20_000, 0.1)
    better = judgements(rng, 3, hardness, 0.03)
    found = seeds_and_reviews(better, judgements(rng, 3, hardness))
    assert found.better > 0.99
    back = seeds_and_reviews(judgements(rng, 3, hardness), better)
    assert back.worse > 0.99
    assert found.worse + found.equal + found.better == pytest.approx(1)
    wide = seeds_and_reviews(*(judgements(rng, 3, np.full(100, 0.1)) for _ in range(2)))
    assert wide.equal < 0.3
    assert PRACTICAL == 0.002


def test_power_is_how_often_half_a_point_is_found() -> None:
    rng = np.random.default_rng(5)
    error, freedom = 0.002, 8
    drawn = rng.normal(0.005, error, 20_000) / (
        error * np.sqrt(rng.chisquare(freedom, 20_000) / freedom))
    found = np.mean(np.abs(drawn) > stats.t.ppf(0.975, freedom))
    assert power(error, freedom) == pytest.approx(found, abs=0.01)


def test_errors_beside_a_number() -> None:
    values = [0.90, 0.92, 0.91]
    assert seed_deviation(values) == pytest.approx(stats.tstd(values))
    assert seed_deviation([0.9]) is None
    truth = np.arange(400) % 2
    accuracy = accuracy_score(truth, np.where(np.arange(400) < 40, 1 - truth, truth))
    right = np.repeat([0.0, 1.0], [40, 360])
    assert binomial_error(accuracy, 400) == pytest.approx(np.std(right) / math.sqrt(400))


def test_holm_and_bonferroni_by_hand() -> None:
    values = {"a": 0.01, "b": 0.04, "c": 0.03}
    assert holm(values) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert bonferroni(values) == pytest.approx({"a": 0.03, "b": 0.12, "c": 0.09})


def cross_validations(rounds: int, folds: int = 5) -> Iterator[tuple[list[float], list[float]]]:
    """Accuracies over folds of two models of equal worth, trained on rows that folds share: each is
    the nearest class mean in a column of its own."""
    rng = np.random.default_rng(8)
    for _ in range(rounds):
        labels = rng.integers(0, 2, 100)
        columns = rng.normal(0, 1, (100, 2)) + 0.5 * labels[:, None]
        fold = np.arange(100) % folds
        accuracies: list[list[float]] = [[], []]
        for number in range(folds):
            train, test = fold != number, fold == number
            for own, values in zip(accuracies, columns.T, strict=True):
                middle = (values[train & (labels == 0)].mean()
                          + values[train & (labels == 1)].mean()) / 2
                own.append(float(np.mean((values[test] > middle) == labels[test])))
        yield accuracies[0], accuracies[1]


def test_folds_without_a_difference_reject_at_most_6_4_percent() -> None:
    found = [corrected_t(*pair) for pair in cross_validations(1_000)]
    assert np.mean([one is not None and one.p < 0.05 for one in found]) <= 0.064


def test_the_corrected_variance_is_nadeaus_and_bengios() -> None:
    one, other = [0.91, 0.92, 0.93, 0.90, 0.94], [0.90, 0.92, 0.91, 0.90, 0.91]
    found = corrected_t(one, other)
    assert found is not None
    each = np.subtract(one, other)
    t = each.mean() / np.sqrt((1 / 5 + 1 / 4) * each.var(ddof=1))
    assert found.mean == pytest.approx(each.mean())
    assert found.p == pytest.approx(2 * stats.t.sf(t, 4))
    plain = paired_t(one, other)
    assert plain is not None and plain < found.p


def test_one_fold_has_no_variance() -> None:
    assert corrected_t([0.9], [0.8]) is None
    same = corrected_t([0.9, 0.8], [0.9, 0.8])
    assert same is not None and (same.p, same.equal) == (1.0, 1.0)
