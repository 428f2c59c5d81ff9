"""The same preparation as whole tables, as one would write it in pandas, Dask, Polars, pyarrow.

    python -m benchmarks.peers.frames polars reviews.json.gz rows.h5 --recipe recipe.yaml

Lower-case letters; equal texts are merged and keep their most frequent rating (of a tie, the
lower one); the most frequent words get ids from 2 on, 0 is padding and 1 unknown; rows are cut
or padded and written to HDF5. All of it is held in memory.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
from isal import igzip

from reviews.recipe import Recipe, load_recipe

TEXT, RATING = "reviewText", "overall"
FIRST = 2
Array = np.ndarray
# ids of all words one after another, words of each row, ratings: (words,), (n,), (n,)
Rows = tuple[Array, Array, Array]


def run_pandas(source: Path, recipe: Recipe) -> Rows:
    """By pandas, with Arrow's strings."""
    import pandas as pd

    with igzip.open(source) as file:
        frame = pd.read_json(file, lines=True, dtype_backend="pyarrow")[[TEXT, RATING]]
    text = frame[TEXT].str.lower().str.replace("[^a-z]+", " ", regex=True).str.strip()
    return encode_pandas(frame.assign(text=text)[text != ""], recipe)


def encode_pandas(frame: Any, recipe: Recipe) -> Rows:
    """Merge, count and number the words of a frame with the columns text and RATING."""
    sizes = frame.groupby(["text", RATING], sort=False).size()
    return _numbered(sizes.reset_index(name="n"), recipe)


def _numbered(sizes: Any, recipe: Recipe) -> Rows:
    """From a pandas frame of how often (n) each text has each rating."""
    import pandas as pd

    sizes = sizes.sort_values(["text", "n", RATING], ascending=[True, False, True])
    rows = sizes.drop_duplicates("text")
    words = rows["text"].str.split(" ")
    flat = words.explode()
    common = flat.value_counts().index[: recipe.encoding.vocabulary_size]
    ids = pd.Index(common).get_indexer(flat) + FIRST
    return ids, words.list.len().to_numpy(), rows[RATING].to_numpy()


def run_dask(source: Path, recipe: Recipe) -> Rows:
    """By Dask's data frames: the file is one partition, since .gz is not cut; words are numbered
    by pandas, whose frames the results are."""
    import dask.dataframe as dd
    import pandas as pd

    frame = dd.read_json(str(source), lines=True, compression="gzip", dtype_backend="pyarrow")
    text = frame[TEXT].str.lower().str.replace("[^a-z]+", " ", regex=True).str.strip()
    frame = frame.assign(text=text)[[RATING, "text"]]
    sizes = frame[frame["text"] != ""].groupby(["text", RATING], sort=False).size()
    arrow = pd.ArrowDtype(pa.string())  # Dask has strings of its own
    return _numbered(sizes.compute().reset_index(name="n").astype({"text": arrow}), recipe)


def run_polars(source: Path, recipe: Recipe) -> Rows:
    """By Polars, lazily where it can be."""
    import polars as pl

    with igzip.open(source) as file:
        frame = pl.read_ndjson(file.read(), schema={TEXT: pl.String, RATING: pl.Float64})
    text = pl.col(TEXT).str.to_lowercase().str.replace_all("[^a-z]+", " ").str.strip_chars()
    rows = (
        frame.lazy()
        .select(text.alias("text"), RATING)
        .filter(pl.col("text") != "")
        .group_by("text", RATING).len()
        .sort("len", RATING, descending=[True, False])
        .group_by("text").agg(pl.col(RATING).first())
        .select(pl.col("text").str.split(" ").alias("words"), RATING)
        .collect()
    )  # fmt: skip
    flat = rows.select(pl.col("words").explode())
    common = flat["words"].value_counts(sort=True)["words"].head(recipe.encoding.vocabulary_size)
    known = pl.DataFrame({"words": common, "id": np.arange(len(common)) + FIRST})
    ids = flat.join(known, on="words", how="left", maintain_order="left")["id"]
    return ids.fill_null(1).to_numpy(), rows["words"].list.len().to_numpy(), rows[RATING].to_numpy()


def run_pyarrow(source: Path, recipe: Recipe) -> Rows:
    """By pyarrow's own functions."""
    schema = pa.schema([(TEXT, pa.string()), (RATING, pa.float64())])
    options = pyarrow.json.ParseOptions(schema, unexpected_field_behavior="ignore")
    with igzip.open(source) as file:
        table = pyarrow.json.read_json(file, parse_options=options)
    text = pc.replace_substring_regex(pc.utf8_lower(table[TEXT]), "[^a-z]+", " ")
    table = pa.table({"text": pc.utf8_trim(text, " "), "rating": table[RATING]})
    sizes = table.filter(pc.field("text") != "").group_by(["text", "rating"]).aggregate(
        [([], "count_all")])
    sizes = sizes.sort_by([("count_all", "descending"), ("rating", "ascending")])
    rows = sizes.group_by("text", use_threads=False).aggregate([("rating", "first")])
    words = pc.split_pattern(rows["text"], " ").combine_chunks()
    coded = words.flatten().dictionary_encode()
    counts = np.bincount(coded.indices, minlength=len(coded.dictionary))
    numbers = np.ones(len(counts), np.int64)
    common = np.argsort(-counts, kind="stable")[: recipe.encoding.vocabulary_size]
    numbers[common] = np.arange(len(common)) + FIRST
    return numbers[coded.indices], pc.list_value_length(words).to_numpy(), rows[
        "rating_first"].to_numpy()


PEERS: dict[str, Callable[[Path, Recipe], Rows]] = {
    "pandas": run_pandas, "dask": run_dask, "polars": run_polars, "pyarrow": run_pyarrow,
}  # fmt: skip


def write_rows(rows: Rows, target: Path, recipe: Recipe) -> int:
    """Cut or pad all rows at once; returns their number."""
    ids, sizes, ratings = rows[0], rows[1].astype(np.int64), rows[2]
    place = np.arange(len(ids)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    inside = place < recipe.encoding.length
    tokens = np.zeros((len(sizes), recipe.encoding.length), np.uint16)
    tokens[np.repeat(np.arange(len(sizes)), sizes)[inside], place[inside]] = np.maximum(
        ids[inside], 1)
    with h5py.File(target, "w") as store:
        chunks = (min(1024, len(sizes)), recipe.encoding.length)
        how = {"chunks": chunks, "compression": "gzip", "compression_opts": 1}
        store.create_dataset("tokens", data=tokens, shuffle=True, **how)
        store.create_dataset("label", data=ratings >= recipe.labels.positive_from)
    return len(sizes)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--recipe", default="rnn2019", help="preset, or file")
    options = parser.parse_args()
    recipe = load_recipe(options.recipe)
    print(write_rows(PEERS[options.peer](options.source, recipe), options.target, recipe))


if __name__ == "__main__":
    main()
