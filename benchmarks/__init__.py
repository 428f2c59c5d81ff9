"""`reviewmill bench`: each stage beside its peer, in the same run on the same machine."""

from collections.abc import Sequence

from reviews.runtime.commands import dispatch

BENCHMARKS = {
    "prepare": ("benchmarks.prepare", "beside a per-line Python version of the 2019 way"),
    "engines": ("benchmarks.engines", "the same preparation on every engine that is here"),
    "dask": ("benchmarks.on_dask", "the runner dask beside pandas and plain Dask"),
    "resume": ("benchmarks.resume", "preparations that are killed and go on"),
    "projection": ("benchmarks.projection", "the full corpus on larger machines"),
    "train": ("benchmarks.train", "beside a plain torch DDP script"),
    "models": ("benchmarks.models", "speed and size of every model"),
    "accuracy": ("benchmarks.accuracy", "beside fastText and a plain BiLSTM"),
    "score": ("benchmarks.score", "beside torch and ONNX Runtime, and over HTTP"),
    "scaling": ("benchmarks.scaling.command", "strong and weak scaling over nodes"),
    "minibatch": ("benchmarks.minibatch.command", "rules of scaling at large batch sizes"),
    "imbalance": ("benchmarks.imbalance.command", "remedies for a rare class"),
    "gpu": ("benchmarks.gpu.command", "training on one GPU, and what bounds it"),
    "exchange": ("benchmarks.exchange.command", "ways of summing gradients, on the hosts at hand"),
    "balance": ("benchmarks.balance", "unequal ranks, beside the sum of their speeds"),
}


def main(argv: Sequence[str]) -> int:
    """Run a benchmark; return the exit status."""
    return dispatch("reviewmill bench STAGE", "benchmark", BENCHMARKS, argv)
