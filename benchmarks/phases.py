"""Seconds of one preparation, phase by phase, beside the limit of each.

    python -m benchmarks.phases recipe.yaml reviews/*.json.gz
"""

import contextlib
import cProfile
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from pstats import Stats
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json
from isal import isal_zlib

from benchmarks.measure import table
from mapreduce.engines.options import EngineOptions
from mapreduce.prepare import prepare
from reviews.recipe import load_recipe

# The functions whose whole time a phase is; none of them calls another one.
PHASES: dict[str, list[tuple[str, str]]] = {
    "inflate": [("~", "decompress' of 'isal_zlib.Decompress")],
    "find lines": [("stretches.py", "find_lines")],
    "parse": [("json/lines.py", "parse"), ("columns.py", "to_reviews")],
    "clean, tokenize, hash": [("tokenizer.py", "tokenize"), ("html.py", "clean_html")],
    "write partitions": [("gather_reviews.py", "flush")],
    "de-duplicate": [("gather_reviews.py", "finish_partition")],
    "count": [("count_words.py", "mapper"), ("count_words.py", "reducer")],
    "encode": [("encode_reviews.py", "encode")],
    "shuffle, deflate, write": [("store.py", "write_shard")],
    "checksum": [("folders.py", "sha256")],
}


def main(argv: Sequence[str]) -> None:
    """Prepare the files twice, the second time with a profile, and print the table."""
    recipe, files = load_recipe(argv[0]), list(argv[1:])
    inline = EngineOptions(runner="inline")
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as folder:
        first, second = Path(folder, "first"), Path(folder, "second")
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            prepare({"corpus": files[:1]}, str(first), recipe, inline)
            # By the wall: the clock of a process's own seconds costs more than many a call.
            started = time.perf_counter()
            with cProfile.Profile(time.perf_counter) as profile:
                summary = prepare({"corpus": files}, str(second), recipe, inline)
            total = time.perf_counter() - started
        reviews = summary["records"]["read"]
        shards = list((second / "shards").iterdir())
        stored = sum(path.stat().st_size for path in shards) / reviews
        limits = _limits(Path(files[0]), reviews / len(files), shards[0].read_bytes(), stored)
    seconds = phase_seconds(Stats(profile))
    seconds["everything else"] = total - sum(seconds.values())
    rows = [
        [name, f"{spent / reviews * 1e6:.2f}", f"{100 * spent / total:.0f}",
         f"{limits[name][1]:.2f} ({limits[name][0]})" if name in limits else ""]
        for name, spent in seconds.items()
    ]
    rows.append(["all", f"{total / reviews * 1e6:.2f}", "100", ""])
    print(f"phases of {reviews:,} reviews, kernels loaded before, under a profile\n")
    print(table(["microseconds a review", "taken", "%", "limit"], rows))
    print(f"\nwork folder: {summary['work_bytes'] / summary['bytes']:.2f} of the inflated input")


def phase_seconds(stats: Stats) -> dict[str, float]:
    """Seconds of each phase, from a profile."""
    entries: dict[tuple[str, int, str], Any] = stats.stats  # type: ignore[attr-defined]
    return {
        phase: sum(
            entry[3]
            for (path, _, name), entry in entries.items()
            for where, what in functions
            if path.endswith(where) and (what in name if where == "~" else what == name)
        )
        for phase, functions in PHASES.items()
    }


def _limits(
    source: Path, reviews: float, shard: bytes, stored: float
) -> dict[str, tuple[str, float]]:
    """By phase, the fastest known way to do that alone, and its microseconds a review."""
    packed = source.read_bytes()
    plain, inflating = _timed(lambda: isal_zlib.decompress(packed, 31))
    schema = pa.schema([("reviewText", pa.string()), ("overall", pa.float64())])
    options = pyarrow.json.ParseOptions(schema, unexpected_field_behavior="ignore")
    reading = pyarrow.json.ReadOptions(use_threads=False)
    _, parsing = _timed(lambda: pyarrow.json.read_json(pa.BufferReader(plain), reading, options))
    _, finding = _timed(lambda: np.flatnonzero(np.frombuffer(plain, np.uint8) == 10))
    _, hashing = _timed(lambda: hashlib.sha256(shard).digest())
    return {
        "inflate": ("isal, at once", inflating / reviews * 1e6),
        "find lines": ("numpy", finding / reviews * 1e6),
        "parse": ("pyarrow.json, two fields", parsing / reviews * 1e6),
        "checksum": ("hashlib", hashing / len(shard) * stored * 1e6),
    }


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Its result, and the seconds of the faster one of two runs."""
    times = []
    for _ in range(2):
        started = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - started)
    return result, min(times)


if __name__ == "__main__":
    main(sys.argv[1:])
