"""`reviewmill bench`: each stage beside its peer, in the same run on the same machine."""

import importlib
from collections.abc import Sequence

from reviews.errors import UserError
from reviews.options import near

BENCHMARKS = {
    "prepare": ("benchmarks.prepare", "beside a per-line Python version of the 2019 way"),
    "engines": ("benchmarks.engines", "the same preparation on every engine that is here"),
    "dask": ("benchmarks.on_dask", "the runner dask beside pandas and plain Dask"),
    "train": ("benchmarks.train", "beside a plain torch DDP script"),
    "accuracy": ("benchmarks.accuracy", "beside fastText and a plain BiLSTM"),
    "balance": ("benchmarks.balance", "unequal ranks, beside the sum of their speeds"),
}


def main(argv: Sequence[str]) -> int:
    """Run a benchmark; return the exit status."""
    if not argv or argv[0] in ("-h", "--help"):
        rows = "\n".join(f"  {name:<10} {text}" for name, (_, text) in BENCHMARKS.items())
        print(f"usage: reviewmill bench STAGE ...\n\n{rows}")
        return 0
    name, *rest = argv
    if name not in BENCHMARKS:
        raise UserError(f"no benchmark {name!r}{near(name, BENCHMARKS)}; there are "
                        + ", ".join(BENCHMARKS))
    return int(importlib.import_module(BENCHMARKS[name][0]).main(rest))
