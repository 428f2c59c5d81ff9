"""Polarity reviews in fastText's format, prepared as one would with pandas and plain Dask.

    python -m benchmarks.peers.polarity pandas clean reviews.txt folder

`clean` is the job of the 2020s: lower case, letters only, spaces squeezed, written to Parquet.
`store` goes on from there as `reviewmill prepare` does: equal texts merged, the most frequent
words numbered, rows cut or padded, written to HDF5.
"""

import argparse
import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.peers.frames import FIRST, RATING, encode_pandas, write_rows
from reviews.corpora import plan_splits, read_blocks
from reviews.generate import generate
from reviews.recipe import Recipe

RECIPE = Recipe.of(format="fasttext", tokens="letters", html=False, vocabulary_size=30_000,
                   length=100, keep="head")
# Each line as one column: no text holds this character.
LINES: dict[str, Any] = {"sep": "\x01", "header": None, "names": ["line"],
                         "quoting": csv.QUOTE_NONE}
BLOCK = "32MB"


def write_polarity(path: Path, reviews: int) -> int:
    """Write so many generated reviews, `__label__1` or `__label__2` each; returns their bytes."""
    scratch = generate(path.with_suffix(".json"), int(reviews * 1.12) + 100)
    left, kept = reviews, Recipe.of(html=False)
    with path.open("wb") as file:
        for split in plan_splits([str(scratch[0])], kept):
            for block in read_blocks(split, kept):
                rating = np.asarray(block.reviews["rating"])
                label = pa.array(np.where(rating > 3, "2", "1"))
                lines = pc.binary_join_element_wise("__label__", label, " ",
                                                    block.reviews["text"], "\n", "")
                lines = lines.filter(pa.array(rating != 3))[:left]
                left -= len(lines)
                file.write("".join(lines.to_pylist()).encode())
    scratch[0].unlink()
    assert not left, "too few reviews were generated"
    return path.stat().st_size


def clean_frame(frame: Any) -> Any:
    """Lines to label and cleaned text."""
    text = frame["line"].str.slice(11).str.lower()
    text = text.str.replace("[^a-z]+", " ", regex=True).str.strip()
    return frame.assign(label=frame["line"].str.slice(9, 10), text=text)[["label", "text"]]


def clean_pandas(source: Path, target: Path) -> None:
    """By pandas, the whole table at once."""
    import pandas as pd

    target.mkdir()
    frame = pd.read_csv(source, dtype_backend="pyarrow", **LINES)
    clean_frame(frame).to_parquet(target / "all.parquet")


def store_pandas(source: Path, target: Path) -> None:
    """By pandas, the whole table at once."""
    import pandas as pd

    frame = rated(clean_frame(pd.read_csv(source, dtype_backend="pyarrow", **LINES)))
    target.mkdir()
    write_rows(encode_pandas(frame, RECIPE), target / "rows.h5", RECIPE)


def rated(frame: Any) -> Any:
    """The texts that are left, with a rating for each label."""
    frame = frame[frame["text"] != ""]
    return frame.assign(**{RATING: frame["label"].map({"1": 1.0, "2": 5.0})})[["text", RATING]]


def clean_dask(source: Path, target: Path) -> None:
    """By Dask's data frames, in blocks."""
    import dask.dataframe as dd

    frame = dd.read_csv(source, blocksize=BLOCK, **LINES)
    frame.map_partitions(clean_frame).to_parquet(target, write_index=False)


def store_dask(source: Path, target: Path) -> None:
    """By Dask's data frames: texts shuffled, words counted, partitions encoded."""
    import dask.dataframe as dd

    frame = dd.read_csv(source, blocksize=BLOCK, **LINES).map_partitions(clean_frame)
    rows = frame.map_partitions(rated).shuffle("text").map_partitions(merge).persist()
    words = rows["text"].map_partitions(lambda text: text.str.split(" ").explode())
    most = RECIPE.encoding.vocabulary_size
    common = words.value_counts(split_out=1).nlargest(most).compute().index
    target.mkdir()
    rows.map_partitions(
        encode_partition, common, str(target), meta=("rows", "int64")).compute()


def merge(frame: Any) -> Any:
    """One row for each text, with its most frequent rating (of a tie, the lower one)."""
    sizes = frame.groupby(["text", RATING], sort=False).size().reset_index(name="n")
    sizes = sizes.sort_values(["text", "n", RATING], ascending=[True, False, True])
    return sizes.drop_duplicates("text")[["text", RATING]]


def encode_partition(frame: Any, common: Any, folder: str, partition_info: Any = None) -> Any:
    """Write the rows of a partition; how many there were."""
    import pandas as pd

    words = frame["text"].str.split(" ")
    ids = pd.Index(common).get_indexer(words.explode()) + FIRST
    number = partition_info["number"] if partition_info else 0
    if len(frame):
        write_rows((ids, words.map(len).to_numpy(), frame[RATING].to_numpy()),
                   Path(folder, f"part-{number:05d}.h5"), RECIPE)
    return pd.Series([len(frame)], name="rows")


@contextmanager
def dask_cluster(workers: int) -> Iterator[Any]:
    """A client of a Dask of this machine, with so many processes."""
    from distributed import Client, LocalCluster

    alone = {"threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(n_workers=workers, **alone) as cluster, Client(cluster) as client:
        yield client


WAYS: dict[tuple[str, str], Callable[[Path, Path], None]] = {
    ("pandas", "clean"): clean_pandas, ("pandas", "store"): store_pandas,
    ("dask", "clean"): clean_dask, ("dask", "store"): store_dask,
}  # fmt: skip


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=["pandas", "dask"])
    parser.add_argument("job", choices=["clean", "store"])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    way = WAYS[options.peer, options.job]
    if options.peer == "pandas":
        way(options.source, options.target)
        return
    with dask_cluster(options.workers):
        way(options.source, options.target)


if __name__ == "__main__":
    main()
