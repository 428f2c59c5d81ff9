"""Features against labels, on the page of a store."""

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from mapreduce.engines.options import EngineOptions
from mapreduce.prepare import prepare
from reports.data import render_store
from reports.predictions import interval
from reports.studies.exploration import (
    PERIODS,
    correlations,
    exploration,
    fields_of,
    groups_of,
    read_sample,
)
from reviews.recipe import Recipe
from reviews.store import Store
from tests.mapreduce.corpus import write_reviews
from tests.reports.document import card, parse, rows, section

NUMBER = {"field": "likes", "kind": "number", "mean": 2.0, "scale": 4.0}


def test_correlations_are_pearson_s_and_a_constant_has_none() -> None:
    draw = np.random.default_rng(0)
    target = (draw.random(500) < 0.3).astype(float)
    features = draw.normal(size=(500, 4)).astype(np.float32) + np.outer(target, [0, 1, -2, 0])
    features[:, 3] = 7
    found = correlations(features, target)
    wanted = [np.corrcoef(features[:, column], target)[0, 1] for column in range(3)]
    assert found == pytest.approx([*wanted, 0.0])
    assert found[2] < -0.5


def number_columns(values: list[float | None]) -> np.ndarray:
    """A number and its missing column, as a store has them."""
    return np.array([[0.0 if value is None else (value - 2.0) / 4.0, value is None]
                     for value in values], np.float32)


def test_a_number_is_grouped_by_quantiles_and_a_common_value_stays_one_group() -> None:
    values = [0.0] * 80 + [1.0] * 10 + [5.0, 6.0, 7.0, 8.0] + [None] * 6
    target = np.array([1.0] * 40 + [0.0] * 40 + [1.0] * 10 + [0.0] * 4 + [1.0] * 6)
    ratings = np.where(target > 0, 5.0, 2.0)
    found = groups_of(NUMBER, number_columns(values), target, ratings)
    assert (found[0].name, found[0].n, found[0].share, found[0].rating) == ("0", 80, 0.5, 3.5)
    assert [(group.name, group.n) for group in found[1:]] == [
        ("1", 10), ("5 to 8", 4), ("missing", 6)]
    assert found[-1].share == 1
    assert sum(group.n for group in found) == 100


def test_ratings_that_are_missing_leave_no_mean() -> None:
    found = groups_of(NUMBER, number_columns([1.0]), np.ones(1), np.array([np.nan]))
    assert [(group.name, group.rating) for group in found] == [("1", None)]


def test_a_category_has_its_values_the_others_and_the_missing() -> None:
    entry = {"field": "version", "kind": "category", "values": ["8.1", "8.2"]}
    columns = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]], np.float32)
    found = groups_of(entry, columns, np.array([1.0, 0, 1, 1, 0]), np.full(5, 3.0))
    assert [(group.name, group.n, group.share) for group in found] == [
        ("8.1", 2, 0.5), ("8.2", 1, 1.0), ("others", 1, 1.0), ("missing", 1, 0.0)]


@pytest.mark.parametrize(("years", "names"), [
    ([2020, 2021], ["2020-03", "2021-03"]),
    (list(range(2020 - PERIODS, 2021)), [f"{year}" for year in range(2020 - PERIODS, 2021)])])
def test_times_are_grouped_by_month_or_where_these_are_many_by_year(
    years: list[int], names: list[str]
) -> None:
    seconds = [datetime(year, 3, 5, tzinfo=UTC).timestamp() for year in years]
    entry = {"field": "at", "kind": "time", "mean": seconds[0], "scale": 1e7}
    columns = np.array([[(second - seconds[0]) / 1e7, 0] for second in seconds], np.float32)
    found = groups_of(entry, columns, np.ones(len(years)), np.full(len(years), 5.0))
    assert [group.name for group in found] == names


def test_times_in_the_wrong_unit_are_years_far_away() -> None:
    entry = {"field": "at", "kind": "time", "mean": 1.7e12, "scale": 1e10}
    found = groups_of(entry, np.array([[0, 0], [0, 1]], np.float32), np.ones(2), np.ones(2))
    assert [group.name for group in found] == ["55840-11", "missing"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store whose reviews are good where they have a vote, and the better the later."""
    top = tmp_path_factory.mktemp("explored")
    lines = [{"reviewText": f"tea number {n}", "overall": 5 if n % 2 else 1, "votes": n % 2,
              "origin": ["here", "there", None][n % 3],
              "unixReviewTime": 1_600_000_000 + 86_400 * n} for n in range(300)]
    prepare({"corpus": [str(write_reviews(top / "reviews.json", lines))]}, str(top / "store"),
            Recipe.of(features=("votes", "origin:category", "unixReviewTime:time")),
            EngineOptions(runner="inline"))
    return Store(top / "store")


def test_the_page_of_a_store_has_correlations_and_shares_by_value(store: Store) -> None:
    page = section(parse(render_store(store)), "features")
    listed = dict(rows(card(page, "Correlations, as numbers")))
    assert listed["votes"] == "+1.000"
    shares = {row[0]: row[1:] for row in rows(card(page, "Share of positive by value"))}
    train = store.rows("train")
    sample = read_sample(store)
    right = int((sample.labels == 1).sum())
    low = f"{100 * interval(right, right)[0]:.0f} % to 100 %"
    assert shares["votes: 1"] == [str(right), "100.0 %", low, "5.00"]
    assert (shares["votes: 0"][:2], shares["votes: 0"][3]) == (
        [str(train - right), "0.0 %"], "1.00")
    assert shares["length in token ids: 3"][0] == str(train)
    assert {"origin: here", "origin: there", "origin: missing"} <= set(shares)
    assert "unixReviewTime: 2020-09" in shares
    for title in ("Correlation with positive", "Share of positive by votes",
                  "Share of positive by origin", "Share of positive by unixReviewTime",
                  "Mean rating by unixReviewTime", "Share of positive by length in token ids"):
        assert card(page, title).all("svg")


def test_of_a_large_store_the_first_reviews_are_looked_at(store: Store) -> None:
    sample = read_sample(store, rows=50)
    assert sample.features.shape == (50, len(store.feature_names))
    assert len(sample.labels) == len(sample.ratings) == 50
    assert exploration(store) == exploration(store)


def test_of_the_best_features_those_that_are_stored_are_shown() -> None:
    entries = [
        {"field": "app", "kind": "category", "values": ["a", "b", "c"], "kept": [0, 2]},
        {**NUMBER, "kept": [1]},
        {**NUMBER, "field": "votes", "kept": [0]},
    ]
    features = np.array([[1, 0, 0, 0.5], [0, 1, 1, -0.5]], np.float32)
    app, votes = fields_of(entries, features)
    assert app[0]["values"] == ["a", "c"]
    assert app[1].tolist() == [[1, 0, 0], [0, 1, 0]]
    assert (votes[0]["field"], votes[1].tolist()) == ("votes", [[0.5, 0], [-0.5, 0]])
    whole = [{"field": "app", "kind": "category", "values": ["a"]}, NUMBER]
    assert [columns.shape for _, columns in fields_of(whole, features)] == [(2, 2), (2, 2)]


def test_the_page_says_which_features_are_the_best_and_how_good(tmp_path: Path) -> None:
    lines = [{"reviewText": f"tea number {n}", "overall": 5 if n % 2 else 1, "votes": n % 2,
              "origin": ["here", "there", None][n % 3]} for n in range(300)]
    prepare({"corpus": [str(write_reviews(tmp_path / "reviews.json", lines))]},
            str(tmp_path / "store"),
            Recipe.of(features=("votes", "origin:category"), best_features=2),
            EngineOptions(runner="inline"))
    page = section(parse(render_store(Store(tmp_path / "store"))), "features")
    assert "2 columns beside the tokens, the best of 5 by mutual information" in page.text
    [votes, *_] = rows(card(page, "Correlations, as numbers"))
    assert votes[:2] == ["votes", "+1.000"]
    assert float(votes[2]) == pytest.approx(math.log(2), abs=0.01)
