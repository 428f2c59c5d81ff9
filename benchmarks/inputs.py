"""Store of a benchmark for which the user names none."""

from pathlib import Path

from mapreduce.engines.run_job import log_to_stderr
from mapreduce.prepare import prepare
from reviews.generate import generate
from reviews.recipe import Recipe


def store_or_generated(
    named: str | None, folder: Path, reviews: int, recipe: Recipe | None = None
) -> str:
    """The store named, or one of so many generated reviews in the folder, by a recipe or the
    default."""
    if named is not None:
        return named
    log_to_stderr(verbose=False)
    store = folder / "store"
    source = generate(folder / "reviews.json", reviews)
    prepare({"corpus": list(map(str, source))}, str(store), recipe or Recipe())
    return str(store)
