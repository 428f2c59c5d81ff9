"""`reviewmill demo`: all stages on generated reviews, ending with a page to look at."""

import shlex
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import reviewmill
from reviews.errors import UserError
from reviews.generate import generate
from reviews.options import make_parser

# A small model with large steps: it learns in a minute what there is to learn.
TRAINING = ("--config plain-lstm --epochs 2 --batch-size 256 --learning-rate 0.005 "
            "--hidden-dim 32 --embedding-dim 64")


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status of the first stage that fails, or 0."""
    parser = make_parser("reviewmill demo", "Run every stage on generated reviews.")
    parser.add_argument("--out", default="demo", metavar="DIR", help="folder (default: demo)")
    parser.add_argument("--reviews", type=int, default=50_000, metavar="N", help="reviews")
    parser.add_argument("--ranks", type=int, default=2, metavar="N", help="processes that train")
    options = parser.parse_args(argv)
    if options.reviews < 1000:
        raise UserError(f"--reviews is {options.reviews}: give 1000 or more")
    if options.ranks < 1:
        raise UserError(f"--ranks is {options.ranks}: give 1 or more")
    out = Path(options.out)
    _make_room(out)

    raw, store, run = str(out / "reviews.json.gz"), str(out / "store"), str(out / "run")
    started = time.perf_counter()
    _say(f"generating {options.reviews:,} reviews")
    generate(raw, reviews=options.reviews)
    training = ["--out", run, "--ranks", str(options.ranks), *TRAINING.split()]
    stages = [
        ["prepare", raw, "--out", store],
        ["train", store, *training],
        ["evaluate", run, "--store", store, "--split", "test"],
        ["report", run],
    ]
    for stage in stages:
        _say(shlex.join(["reviewmill", *stage]))
        if status := reviewmill.main(stage):
            return status
    serve = shlex.join(["reviewmill", "serve", run])
    _say(f"done in {time.perf_counter() - started:.0f} s; `{serve}` serves the model; look at")
    print(Path(run, "report.html").resolve())
    return 0


def _make_room(out: Path) -> None:
    """An empty folder; only a demo of before is deleted."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is not a folder")
    if out.exists() and any(out.iterdir()):
        if not (out / "reviews.json.gz").is_file():
            raise UserError(f"{out} is not empty and holds no demo; name another --out")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)


def _say(text: str) -> None:
    print(f"\n== {text}", flush=True)
