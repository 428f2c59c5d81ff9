"""`reviewmill bench prepare`: reviews a second on one core, beside the 2019 way; flat memory."""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import orjson
from isal import igzip

from benchmarks.measure import Usage, machine, measure, table
from reviews.errors import UserError
from reviews.generate import generate
from reviews.options import make_parser

COPIES = 4


def main(argv: Sequence[str]) -> int:
    """Run the benchmark and print its table."""
    parser = make_parser(
        "reviewmill bench prepare", "Prepare on one core, beside a per-line Python version."
    )
    parser.add_argument("input", nargs="?", metavar="FILE",
                        help="JSON lines, .gz (default: 100,000 generated reviews)")
    parser.add_argument("--text-field", default="reviewText", metavar="TEXT")
    parser.add_argument("--rating-field", default="overall", metavar="TEXT")
    parser.add_argument("--label-field", metavar="TEXT", help="in place of ratings")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="runs; medians count")
    parser.add_argument("--copies", type=int, default=COPIES, metavar="N",
                        help=f"how often the larger input holds each text (default: {COPIES})")
    options = parser.parse_args(argv)
    if options.repeat < 1 or not 2 <= options.copies <= 26:
        raise UserError("give --repeat 1 or more, and --copies 2 to 26")
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as folder:
        source = Path(options.input) if options.input else Path(folder, "reviews.json.gz")
        if not options.input:
            generate(source, 100_000)
        elif not source.is_file() or source.suffix != ".gz":
            raise UserError(f"{source} is not a .gz file of JSON lines")
        _compare(Path(folder), source, options)
    return 0


def _compare(folder: Path, source: Path, options: argparse.Namespace) -> None:
    text, rating, label = options.text_field, options.rating_field, options.label_field
    larger = folder / "copies.json.gz"
    reviews, size = repeat_texts(source, larger, text, options.copies)
    fields = ["--text-field", text]
    fields += ["--label-field", label] if label else ["--rating-field", rating]
    python = [sys.executable, "-m"]
    ours = [*python, "reviewmill", "prepare", "--runner", "inline", "--workers", "1",
            "--overwrite", "--out", str(folder / "store"), *fields]
    commands = {
        "per-line Python, 2019 rules": [
            *python, "benchmarks.per_line", str(source), str(folder / "rows.h5"),
            "--text-field", text, "--rating-field", label or rating],
        "reviewmill, 2019 rules": [*ours, str(source), "--recipe", "rnn2019"],
        "reviewmill": [*ours, str(source)],
    }
    found: dict[str, list[Usage]] = {name: [] for name in commands}
    for _ in range(options.repeat):
        # In turns, so that a slow minute of the machine hits all of them.
        for name, command in commands.items():
            found[name].append(measure(command, core=_core()))
    many = f"reviewmill, {options.copies} times the reviews"
    found[many] = [measure([*ours, str(larger)], core=_core())]
    # The core's own seconds count: what else the machine does is not the program's doing.
    peer = median(usage.cpu_s for usage in next(iter(found.values())))
    rows = []
    for name, usages in found.items():
        cpu_s = median(usage.cpu_s for usage in usages)
        n = reviews * (options.copies if name == many else 1)
        rows.append([name, f"{median(usage.seconds for usage in usages):.1f}", f"{cpu_s:.1f}",
                     f"{n / cpu_s:,.0f}", f"{peer / cpu_s * n / reviews:.2f}",
                     f"{max(usage.peak_mb for usage in usages):,.0f}"])
    print(f"{machine()}; one core for each\n{reviews:,} reviews, {size / 1e6:,.0f} MB of JSON "
          f"lines, from raw file to store; median of {options.repeat}\n")
    print(table(["", "seconds", "CPU s", "reviews/CPU s", "ratio", "peak MB"], rows))


def _core() -> int:
    """A core that processes of the system use less than the first."""
    return max(os.sched_getaffinity(0))


def repeat_texts(source: Path, target: Path, text_field: str, copies: int) -> tuple[int, int]:
    """Write the reviews so many times over, the texts of each copy led by a word of its own.

    Returns the reviews and bytes of the source, uncompressed.
    """
    reviews = size = 0
    with igzip.open(source, "rb") as lines, igzip.open(target, "wb") as file:
        for line in lines:
            review = orjson.loads(line)
            own = review[text_field]
            for copy in range(copies):
                review[text_field] = f"copy{chr(97 + copy)} {own}"
                file.write(orjson.dumps(review) + b"\n")
            reviews += 1
            size += len(line)
    return reviews, size
