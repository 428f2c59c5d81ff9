"""One preparation with a number of partitions that the caller names (0: by the input's bytes).

    python -m benchmarks.scaling.partitions 689 recipe.yaml store reviews/*.json.gz
"""

import os
import sys
from collections.abc import Sequence

from mapreduce.engines.options import EngineOptions
from mapreduce.engines.run_job import log_to_stderr
from mapreduce.prepare import prepare
from reviews.recipe import load_recipe


def main(argv: Sequence[str]) -> None:
    """Prepare the files on all cores that this process may use, into a store that is replaced."""
    partitions, recipe, store, *files = argv
    cores = len(os.sched_getaffinity(0))
    options = EngineOptions(runner="local" if cores > 1 else "inline", workers=cores)
    log_to_stderr(verbose=False)
    prepare({"corpus": files}, store, load_recipe(recipe), options, overwrite=True,
            partitions=int(partitions) or None)


if __name__ == "__main__":
    main(sys.argv[1:])
