"""Compile the kernels once for an installation: `python -m reviews.warm`."""

import pyarrow as pa

from reviews.encoding import encode_block
from reviews.recipe import Recipe
from reviews.record import SCHEMA
from reviews.strings import mix_hashes
from reviews.tokenizer import Tokenizer


def main() -> None:
    """Run every kernel on a review or two; numba keeps what it compiled on the disk."""
    recipe = Recipe()
    row = {"text": "A <b>fine</b> caf\u00e9 &amp; more, isn't it?", "rating": 5.0, "label": None,
           "reviewer": "r", "product": "p", "time": 0}
    block = pa.RecordBatch.from_pylist([row, row], SCHEMA)
    tokenizer = Tokenizer(recipe)
    encode_block(block, {}, recipe, tokenizer, pa.array(["fine"]))
    mix_hashes(tokenizer.tokenize(block["text"]).identity[:, 0].copy(), 1)


if __name__ == "__main__":
    main()
