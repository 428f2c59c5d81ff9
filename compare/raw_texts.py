"""Raw texts of a store's reviews, found in the files that it was prepared from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from compare.rows import column
from reviews.errors import UserError
from reviews.storage.folders import whole_file
from reviews.store import Store

Array = np.ndarray


def write(
    path: Path, store: Store, inputs: Sequence[str], splits: Sequence[str] = ("train", "test")
) -> None:
    """Read the files once, and write review_id and text of the reviews of some splits, in the order
    of review_id. Of several reviews of one review_id, the first is kept: their words are the same.

    Raises UserError where a review of the store is not in the files, or where the store tells
    reviews apart by more than their text.
    """
    # Kernels, which take most baselines longer to load than all else.
    from reviews.corpora import plan_splits, read_blocks
    from reviews.text.subwords import tokenizer_for
    from reviews.text.tokenize_block import tokenize

    if store.recipe.selection.dedupe == "reviewer-product":
        raise UserError(f"{store.address} was prepared with --dedupe reviewer-product: its reviews "
                        "are not found in files by their text")
    wanted = np.unique(np.concatenate([column(store, s, "review_id") for s in splits]))
    place = np.full(len(wanted), -1, np.int64)  # of each in what was found
    found: list[pa.Array] = []
    total = 0
    for split in plan_splits(inputs, store.recipe):
        tokenizer = tokenizer_for(store.recipe.tokens, store.tokenizer_file)
        for block in read_blocks(split, store.recipe):
            texts = block.reviews["text"]
            ids = tokenize(texts, tokenizer, store.recipe).identity[:, 0]
            at = np.minimum(np.searchsorted(wanted, ids), len(wanted) - 1)
            rows = np.flatnonzero((wanted[at] == ids) & (place[at] < 0))
            _, first = np.unique(at[rows], return_index=True)
            rows = rows[np.sort(first)]
            place[at[rows]] = total + np.arange(len(rows))
            found.append(texts.take(pa.array(rows)))
            total += len(rows)
    if missing := int((place < 0).sum()):
        raise UserError(f"{missing:,} of the {len(wanted):,} {', '.join(splits)} reviews of "
                        f"{store.address} are not in the files: give those that the store was "
                        "prepared from")
    texts = pa.chunked_array(found, pa.string()).take(pa.array(place))
    with whole_file(str(path)) as file:
        pq.write_table(pa.table({"review_id": wanted, "text": texts}), file)


def read(path: Path, ids: Array) -> list[str]:
    """The texts of review_ids (n,), in their order."""
    table = pq.read_table(path)
    at = np.searchsorted(table["review_id"].to_numpy(), ids)
    texts: list[str] = table["text"].take(pa.array(at)).to_pylist()
    return texts
