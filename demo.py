"""`reviewmill demo`: all stages on generated reviews, ending with a page to look at."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import mapreduce.prepare
import mpi_train.evaluate
import mpi_train.launch
import reports
from reviews.errors import UserError
from reviews.generate import generate
from reviews.options import make_parser


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status of the first stage that fails, or 0."""
    parser = make_parser("reviewmill demo", "Run every stage on generated reviews.")
    parser.add_argument("--out", default="demo", metavar="DIR", help="folder (default: demo)")
    parser.add_argument("--reviews", type=int, default=50_000, metavar="N", help="how many")
    parser.add_argument("--ranks", type=int, default=2, metavar="N", help="processes that train")
    options = parser.parse_args(argv)
    if options.reviews < 1000:
        raise UserError(f"--reviews is {options.reviews}: give 1000 or more")
    out = Path(options.out)
    if out.exists() and any(out.iterdir()):
        if not (out / "reviews.json.gz").is_file():
            raise UserError(f"{out} is not empty and holds no demo; name another --out")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)

    store, run = str(out / "store"), str(out / "run")
    started = time.perf_counter()
    _say(f"generating {options.reviews:,} reviews")
    generate(str(out / "reviews.json.gz"), reviews=options.reviews)
    stages = [
        (mapreduce.prepare.main, [str(out / "reviews.json.gz"), "--out", store]),
        (mpi_train.launch.main,
         [store, "--out", run, "--ranks", str(options.ranks), "--epochs", "2",
          "--batch-size", "256", "--learning-rate", "0.005",
          "--hidden-dim", "32", "--embedding-dim", "64"]),
        (mpi_train.evaluate.main, [run, "--store", store, "--split", "test"]),
        (reports.main, [run]),
    ]
    for stage, arguments in stages:
        _say("reviewmill " + stage.__module__.split(".")[-1].replace("launch", "train") + " "
             + " ".join(arguments))
        status = stage(arguments)
        if status:
            return status
    _say(f"done in {time.perf_counter() - started:.0f} s; look at")
    print(Path(run, "report.html").resolve())
    return 0


def _say(text: str) -> None:
    print(f"\n== {text}", flush=True)
