"""`reviewmill bench accuracy`: how good the models are, beside fastText and a plain BiLSTM."""

import argparse
import importlib.util
import json
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import mean, stdev

from benchmarks.inputs import store_or_generated
from benchmarks.measure import machine, output_of, table
from reviews.errors import UserError
from reviews.options import make_parser
from reviews.store import Store

WHOLE = {f"fasttext-{n}": n for n in (1, 2, 3)}  # on whole texts, n-grams of so many words
NAMES = ("fasttext", *WHOLE, "bilstm", "bag", "views", "default")
Result = dict[str, float]  # test, validation: accuracies; seconds by the clock, CPU seconds


def main(argv: Sequence[str]) -> int:
    """Train all of them with every seed, and print the table."""
    parser = make_parser("reviewmill bench accuracy", "Accuracy, and the time it takes.")
    parser.add_argument("store", nargs="?", metavar="STORE",
                        help="store with a test split (default: 30,000 generated reviews)")
    parser.add_argument("--texts", nargs="+", metavar="FILE",
                        help="raw files that the store was prepared from: fastText gets whole "
                        "texts, too, with n-grams of 1, 2 and 3 words")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds of each")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=NAMES,
                        help=f"some of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true",
                        help="one seed and one epoch of each, for a look")
    options = parser.parse_args(argv)
    if options.seeds < 1:
        raise UserError("give --seeds 1 or more")
    if not options.texts and (missing := WHOLE.keys() & set(options.only or ())):
        raise UserError(f"--only {min(missing)} needs the raw files: give --texts")
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as folder:
        store = Store(store_or_generated(options.store, Path(folder), 30_000))
        if not store.rows("test") or not store.rows("validation"):
            raise UserError(f"{store.path} lacks a validation or test split")
        print(f"{machine()}\n{store.rows('train'):,} reviews to train on, "
              f"{store.rows('test'):,} to test, {store.vocabulary_size:,} ids, "
              f"length {store.length}\n")
        _compare(store, Path(folder) / "run", options)
    return 0


def _compare(store: Store, run: Path, options: argparse.Namespace) -> None:
    extra = ("--epochs", "1") if options.quick else ()
    cores = len(os.sched_getaffinity(0))
    whole = ("--texts", *(options.texts or ()))
    contenders: dict[str, tuple[str, Callable[[int], Result]]] = {
        "fasttext": ("fastText, word pairs", partial(_peer, "plain_fasttext", store, extra)),
        "bilstm": ("plain torch BiLSTM", partial(_peer, "plain_bilstm", store, extra)),
        "bag": ("--model bag", partial(_own, store, run, ("--model", "bag", *extra))),
        "views": ("--config views", partial(
            _own, store, run, ("--config", "views", "--ranks", str(cores), *extra))),
        "default": ("--config default", partial(
            _own, store, run, ("--ranks", str(cores), *extra))),
    }
    for name, n in WHOLE.items():
        contenders[name] = (f"fastText, whole texts, {n}-grams", partial(
            _peer, "plain_fasttext", store, ("--ngrams", str(n), *whole, *extra)))
    chosen = [name for name in NAMES if name in (options.only or NAMES)]
    if not options.texts:
        chosen = [name for name in chosen if name not in WHOLE]
    if importlib.util.find_spec("fasttext") is None:
        print("fastText is left out: pip install 'reviewmill[bench]'\n")
        chosen = [name for name in chosen if not name.startswith("fasttext")]
    found: dict[str, list[Result]] = {contenders[name][0]: [] for name in chosen}
    for seed in range(1 if options.quick else options.seeds):
        for name in chosen:
            title, contender = contenders[name]
            result = _timed(contender, seed)
            found[title].append(result)
            # All of them take hours.
            print(f"{title}, seed {seed}: test {result['test']:.2%}, {result['seconds']:,.0f} s",
                  file=sys.stderr, flush=True)
    peer = found.get(contenders["bilstm"][0], [])
    peer_s = mean(result["seconds"] for result in peer) if peer else None
    rows = []
    for name, results in found.items():
        tests, seconds = [r["test"] for r in results], mean(r["seconds"] for r in results)
        rows.append([name, f"{mean(tests):.2%}", f"{stdev(tests):.2%}" if len(tests) > 1 else "-",
                     f"{mean(r['validation'] for r in results):.2%}", f"{seconds:,.0f}",
                     f"{mean(r['cpu_s'] for r in results):,.0f}",
                     f"{seconds / peer_s:.2f}" if peer_s else "-",
                     " ".join(f"{t:.2%}" for t in tests)])
    print(table(["", "test", "deviation", "validation", "seconds", "CPU s", "of BiLSTM's",
                 "by seed"], rows))


def _timed(contender: Callable[[int], Result], seed: int) -> Result:
    """The result with the CPU seconds of all processes, reading and evaluating included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = contender(seed)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**result, "cpu_s": cpu_s}


def _own(store: Store, run: Path, choices: Sequence[str], seed: int) -> Result:
    """A training by the command, and its evaluation."""
    mill = (sys.executable, "-m", "reviewmill")
    output_of([*mill, "train", str(store.path), "--out", str(run), "--overwrite",
               "--seed", str(seed), *choices])
    summary = json.loads((run / "summary.json").read_text())
    figures = json.loads(output_of([*mill, "evaluate", str(run), "--store", str(store.path),
                                    "--split", "test", "--json"]).splitlines()[-1])
    return {"test": figures["accuracy"], "validation": summary["best"]["accuracy"],
            "seconds": summary["seconds"]}


def _peer(module: str, store: Store, extra: Sequence[str], seed: int) -> Result:
    """Result that a plain script prints."""
    printed = output_of([sys.executable, "-m", f"benchmarks.peers.{module}", str(store.path),
                         "--seed", str(seed), *extra])
    result: Result = json.loads(printed.splitlines()[-1])
    return result
