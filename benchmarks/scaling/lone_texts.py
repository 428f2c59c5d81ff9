"""Latency of a model for one text at a time: `python -m benchmarks.scaling.lone_texts RUN FILE`.

Prints one JSON object: medians over a second of calls, so that several processes that start
together are busy at the same time.
"""

import json
import sys
import time
from collections.abc import Sequence
from statistics import median

from benchmarks.score import first_texts
from scoring.predictor import load

TEXTS = 200
SECONDS = 1.0


def main(argv: Sequence[str]) -> None:
    """Score the first texts of a file one by one."""
    path, file = argv
    predictor = load(path)
    texts: list[str] = first_texts(predictor, [file], TEXTS).to_pylist()
    predictor(texts)
    seconds: list[float] = []
    ends = time.perf_counter() + SECONDS
    while (started := time.perf_counter()) < ends:
        predictor([texts[len(seconds) % len(texts)]])
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"latency_s": median(seconds), "calls": len(seconds)}))


if __name__ == "__main__":
    main(sys.argv[1:])
