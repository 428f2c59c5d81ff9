"""`reviewmill runs DIR`: table of the run folders below a folder, in the terminal."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reports.html import count, duration, percent
from reports.run import Run, read_run
from reviews.errors import UserError
from reviews.options import make_parser, near
from reviews.run_folder import CONFIG, METRICS, SUMMARY

# Columns: heading, and the text of a value.
COLUMNS: Mapping[str, Any] = {
    "run": str, "model": str, "state": str, "epochs": count, "updates": count,
    "validation": lambda value: percent(value, 2), "test": lambda value: percent(value, 2),
    "f1": lambda value: "–" if value is None else f"{value:.4f}", "reviews_per_s": count,
    "seconds": duration, "parameters": count, "ranks": count,
}
WORDS = ("run", "model", "state")  # sorted from a to z, numbers from the highest


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table, or a JSON object a line."""
    parser = make_parser("reviewmill runs", "Run folders below a folder, as a table.")
    parser.add_argument("folder", metavar="DIR", help="folder that is searched for run folders")
    parser.add_argument("--sort", metavar="FIELD", default="run",
                        help=f"column to sort by ({', '.join(COLUMNS)}); numbers from the highest")
    parser.add_argument("--reverse", action="store_true", help="sort the other way round")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each run")
    options = parser.parse_args(argv)
    if options.sort not in COLUMNS:
        raise UserError(f"--sort {options.sort}{near(options.sort, COLUMNS) or ': no column'}; "
                        + ", ".join(COLUMNS))
    top = Path(options.folder)
    if not top.is_dir():
        raise UserError(f"{top} is not a folder")
    rows = [row_of(read_run(folder), top) for folder in run_folders(top)]
    if not rows:
        raise UserError(f"{top} has no run folders")
    rows = sort_rows(rows, options.sort, options.reverse)
    for line in map(json.dumps, rows) if options.json else table_lines(rows):
        print(line)
    return 0


def run_folders(top: Path) -> Iterator[Path]:
    """Folders with a configuration and records of a run, the top itself or below it, by name."""
    for folder, below, files in os.walk(top):
        below.sort()
        if CONFIG in files and {METRICS, SUMMARY} & set(files):
            below.clear()  # what is in a run is part of it
            yield Path(folder)


def row_of(run: Run, top: Path) -> dict[str, Any]:
    """Values of the columns; None for what the run does not have (yet). Figures of the validation
    are of the epoch that is kept."""
    kept = run.epochs.get(run.kept_epoch) if run.kept_epoch is not None else None
    test = run.test or {}
    seconds = run.summary.get("seconds")
    if seconds is None and run.curve.total:
        seconds = run.curve.total.seconds
    return {
        "run": str(run.path.relative_to(top)) if run.path != top else top.resolve().name,
        "model": str(run.config.get("model", "–")),
        "state": "failed" if run.failures else "finished" if run.finished else "unfinished",
        "epochs": len(run.epochs), "updates": max(0, run.curve.last_step),
        "validation": ((kept or {}).get("validation") or {}).get("accuracy"),
        "test": test.get("accuracy"), "f1": test.get("f1_macro"),
        "reviews_per_s": run.reviews_per_s, "seconds": seconds,
        "parameters": run.summary.get("parameters"), "ranks": run.ranks,
    }


def sort_rows(
    rows: Sequence[dict[str, Any]], column: str, reverse: bool
) -> list[dict[str, Any]]:
    """Rows by a column, those without a value last."""
    known = [row for row in rows if row[column] is not None]
    down = (column not in WORDS) != reverse
    ordered = sorted(known, key=lambda row: row[column], reverse=down)
    return ordered + [row for row in rows if row[column] is None]


def table_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Text in columns: words to the left, numbers to the right."""
    cells = [[*COLUMNS], *([show(row[name]) for name, show in COLUMNS.items()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) if name in WORDS else cell.rjust(width)
                      for cell, width, name in zip(line, widths, COLUMNS, strict=True)).rstrip()
            for line in cells]
