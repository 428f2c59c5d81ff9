"""Ratings that a system predicts beside the classes, and their root mean squared error."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reviews.storage.folders import whole_file

Array = np.ndarray
FILE = "ratings.parquet"  # beside the predictions of a run
# Systems that do, where every training row has a rating: the mean, and boosted trees.
RATED = ("majority", "xgboost", "features-xgboost")


def write_ratings(path: Path, ids: Array, ratings: Array, predicted: Array) -> None:
    """Write review_id, rating (NaN where there is none) and predicted rating, (n,) each."""
    table = pa.table({"review_id": ids, "rating": ratings.astype(np.float64),
                      "predicted": predicted.astype(np.float64)})
    with whole_file(str(path)) as file:
        pq.write_table(table, file)


def rating_error(path: Path, ids: Array | None = None) -> dict[str, float]:
    """`rating_rmse` of the reviews of such a file, or of some, and `rating_rmse_test_error`, its
    standard error from the draw of the reviews; empty without the file, or without a rating.

    The standard error is that of the mean of the squares, by the delta method.
    """
    if not path.is_file():
        return {}
    table = pq.read_table(path)
    ratings, predicted = (table[name].to_numpy() for name in ("rating", "predicted"))
    known = ~np.isnan(ratings)
    if ids is not None:
        known &= np.isin(table["review_id"].to_numpy(), ids)
    squares = np.square(predicted[known] - ratings[known])
    if not len(squares):
        return {}
    rmse = float(np.sqrt(squares.mean()))
    error = float(squares.std() / np.sqrt(len(squares)) / (2 * rmse)) if rmse else 0.0
    return {"rating_rmse": rmse, "rating_rmse_test_error": error}
