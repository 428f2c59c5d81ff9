"""Loading alone: polarity reviews in fastText's format to labels and texts in memory.

    python -m benchmarks.peers.loading pandas reviews.txt

Prints the number of reviews.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.peers.polarity import BLOCK, LINES, RECIPE, dask_cluster
from reviews.corpora import InputSplit, plan_splits, read_blocks


def count_reviews(split: InputSplit) -> int:
    """Reviews of an input split, whose blocks are all in memory at once, as a frame's rows are."""
    blocks = list(read_blocks(split, RECIPE))
    return sum(len(block.reviews) for block in blocks)


def label_and_text(frame: Any) -> Any:
    """Lines to label and text."""
    line = frame["line"]
    return frame.assign(label=line.str.slice(9, 10), text=line.str.slice(11))[["label", "text"]]


def by_pandas(source: Path, _: int) -> int:
    """By pandas, the whole table at once."""
    import pandas as pd

    return len(label_and_text(pd.read_csv(source, dtype_backend="pyarrow", **LINES)))


def by_dask(source: Path, workers: int) -> int:
    """By Dask's data frames, in blocks."""
    import dask.dataframe as dd

    with dask_cluster(workers):
        frame = dd.read_csv(source, blocksize=BLOCK, **LINES).map_partitions(label_and_text)
        return int(frame.map_partitions(len).compute().sum())


def by_reviewmill_on_dask(source: Path, workers: int) -> int:
    """By reviewmill's reader, an input split a task of Dask."""
    with dask_cluster(workers) as client:
        return sum(client.gather(client.map(count_reviews, plan_splits([str(source)], RECIPE))))


def by_reviewmill(source: Path, workers: int) -> int:
    """By reviewmill's reader, an input split a task of a process."""
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return sum(pool.map(count_reviews, plan_splits([str(source)], RECIPE)))


SIDES: dict[str, Callable[[Path, int], int]] = {
    "pandas": by_pandas, "dask": by_dask, "reviewmill-dask": by_reviewmill_on_dask,
    "reviewmill-local": by_reviewmill,
}  # fmt: skip


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("source", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    print(SIDES[options.side](options.source, options.workers))


if __name__ == "__main__":
    main()
