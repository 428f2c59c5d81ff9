"""Compiles the kernels once for an installation: `python -m mapreduce.compile_kernels`.

Numba keeps on the disk what it compiled, for the kinds of arrays that it was called with; so
the real thing is run, on a few reviews of each format.
"""

import contextlib
import io
import tempfile
from pathlib import Path

import pyarrow as pa

from mapreduce.engines.options import EngineOptions
from mapreduce.prepare import prepare
from reviews.encoding import encode_files
from reviews.generate import generate
from reviews.recipe import Cleaning, Recipe
from reviews.text.cleaning import RULES, clean


def main() -> None:
    """Prepare a few reviews and throw the store away."""
    inline = EngineOptions(runner="inline")
    quiet = contextlib.redirect_stderr(io.StringIO())
    with tempfile.TemporaryDirectory() as name, quiet:
        folder = Path(name)
        (files := folder / "reviews").mkdir()
        generate(files / "lines.json.gz", 300)
        (files / "objects.json").write_text('{"reviewText": "a &amp; b",\n"overall": 5}\n' * 9)
        (files / "table.csv").write_text("reviewText,overall\n" + "good <b>tea</b>,5\n" * 9)
        for dedupe in ("text", "reviewer-product"):
            recipe = Recipe.of(dedupe=dedupe)
            prepare({"corpus": [str(files)]}, str(folder / dedupe), recipe, inline)
        clean(pa.array(["I don't, no\u2026"]), Cleaning(**dict.fromkeys(RULES, True)))
        (fast := folder / "fast.txt").write_text("__label__2 good tea\n__label__1 bad tea\n" * 9)
        prepare({"corpus": [str(fast)]}, str(folder / "fast"), Recipe(), inline)
        list(encode_files([str(fast)], Recipe(), ["good"]))


if __name__ == "__main__":
    main()
