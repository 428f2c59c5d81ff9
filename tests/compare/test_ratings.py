"""Error of predicted ratings: scikit-learn's, and how far another draw of reviews would move it."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import root_mean_squared_error

from compare.ratings import rating_error, write_ratings

Array = np.ndarray


def draw(rng: np.random.Generator, n: int) -> tuple[Array, Array, Array]:
    ratings = rng.integers(1, 6, n).astype(np.float32)
    return np.arange(n, dtype=np.uint64), ratings, 3 + 0.4 * (ratings - 3) + rng.normal(size=n)


def test_reviews_without_a_rating_and_others_than_asked_for_do_not_count(tmp_path: Path) -> None:
    ids, ratings, predicted = draw(np.random.default_rng(0), 400)
    ratings[::7] = np.nan
    write_ratings(tmp_path / "ratings.parquet", ids, ratings, predicted)
    for some in (None, ids[100:250]):
        known = ~np.isnan(ratings) & (True if some is None else np.isin(ids, some))
        found = rating_error(tmp_path / "ratings.parquet", some)
        assert found["rating_rmse"] == pytest.approx(
            root_mean_squared_error(ratings[known], predicted[known]))


def test_the_standard_error_is_the_deviation_over_draws_of_the_reviews(tmp_path: Path) -> None:
    rng, errors, said = np.random.default_rng(1), [], []
    for _ in range(300):
        write_ratings(tmp_path / "ratings.parquet", *draw(rng, 500))
        found = rating_error(tmp_path / "ratings.parquet")
        errors.append(found["rating_rmse"])
        said.append(found["rating_rmse_test_error"])
    assert np.mean(said) == pytest.approx(np.std(errors), rel=0.15)


def test_without_a_file_or_a_rating_there_is_no_error(tmp_path: Path) -> None:
    assert rating_error(tmp_path / "nothing.parquet") == {}
    ids, ratings, predicted = draw(np.random.default_rng(0), 3)
    write_ratings(tmp_path / "ratings.parquet", ids, ratings * np.nan, predicted)
    assert rating_error(tmp_path / "ratings.parquet") == {}
    write_ratings(tmp_path / "ratings.parquet", ids, ratings, ratings)
    assert rating_error(tmp_path / "ratings.parquet") == {
        "rating_rmse": 0.0, "rating_rmse_test_error": 0.0}
