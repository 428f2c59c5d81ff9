"""fastText's predictions of lines: a peer of `reviewmill bench score` for a bag.

    python -m benchmarks.peers.fasttext_predict LINES --ngrams 3 --dimensions 16 --buckets 2000000

LINES has one text a line, cut as fastText wants them. A model of these sizes is made of the lines,
with labels by chance, since a prediction's time does not depend on what was learned. Then one
call of Python's `predict`, which has its loop over the lines in C++ as the program has, reads
them all on one thread. Prints the CPU seconds of each repetition of that call as JSON.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import fasttext


def main() -> None:
    """Make the model, predict, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lines", type=Path)
    parser.add_argument("--ngrams", type=int, required=True)
    parser.add_argument("--dimensions", type=int, required=True)
    parser.add_argument("--buckets", type=int, required=True)
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    lines = options.lines.read_text("utf-8").splitlines()
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as labelled:
        for number, line in enumerate(lines):
            labelled.write(f"__label__{number % 2} {line}\n")
        labelled.flush()
        model = fasttext.train_supervised(
            labelled.name, epoch=1, thread=1, verbose=0, minCount=1, wordNgrams=options.ngrams,
            dim=options.dimensions, bucket=options.buckets)
    seconds = []
    for _ in range(options.repeat):
        started = time.process_time()
        model.predict(lines)
        seconds.append(time.process_time() - started)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
