"""`reviewmill score`: files of reviews to predictions."""

import argparse
import contextlib
import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from reviews.corpora import plan_splits, raw_bytes
from reviews.errors import UserError
from reviews.options import (
    add_options,
    check_bounds,
    config_from,
    flag,
    given,
    make_parser,
    option,
)
from reviews.recipe import Recipe
from reviews.runtime.progress import PROGRESS
from reviews.storage.files import save_standard_input
from scoring.decision import Decision
from scoring.files import FileScorer, Tally
from scoring.model import load_model
from scoring.output import STANDARD_OUTPUT, check_output, open_output


@dataclasses.dataclass(frozen=True)
class ScoreOptions:
    """Options of `score` beside those about files."""

    key_field: str | None = option(
        None, "field whose value goes with each prediction; else file and record number")
    threshold: float | None = option(
        None, "lowest probability of the second of two classes for its label (0.5)")
    unsure: tuple[float, ...] = option(
        (), "probabilities of the second of two classes between which the label is 'unsure'")
    workers: int = option(0, "number of threads; 0: all cores", at_least=0)
    overwrite: bool = option(False, "replace predictions that are there")

    def __post_init__(self) -> None:
        check_bounds(self, flag)


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    out = make_parser("reviewmill score", "Predictions of a model for the reviews of files.")
    out.add_argument("model", metavar="MODEL", help="run folder or bundle")
    out.add_argument("input", nargs="+", metavar="INPUT",
                     help="files, folders, patterns or addresses; - for standard input")
    out.add_argument("--out", required=True, metavar="FILE",
                     help="predictions: .parquet, .jsonl or .csv; - for JSON lines on stdout")
    add_options(out, ScoreOptions)
    add_options(out, Recipe, command="score")
    return out


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    arguments = parser().parse_args(argv)
    options = config_from(arguments, ScoreOptions)
    check_output(arguments.out, options.overwrite)
    started = time.perf_counter()
    with _files(arguments.input) as inputs:
        tally = score_files(arguments.model, inputs, arguments.out, options,
                            given(arguments, Recipe, "score"))
    seconds = time.perf_counter() - started
    for line in describe(tally, arguments.out, seconds):
        print(line, file=sys.stderr if arguments.out == STANDARD_OUTPUT else sys.stdout)
    return 0


def score_files(
    path: str, inputs: Sequence[str], out: str, options: ScoreOptions,
    about_files: dict[str, object],
) -> Tally:
    """Write the predictions of a model for all reviews of the inputs.

    about_files: keys of the recipe that say how the files are read. Raises UserError where there
    is no review in them.
    """
    bundle, model = load_model(path)
    decision = Decision(tuple(bundle.model["classes"]), options.threshold,
                        options.unsure or None)
    recipe = dataclasses.replace(bundle.recipe, **about_files)  # type: ignore[arg-type]
    workers = options.workers or len(os.sched_getaffinity(0))
    scorer = FileScorer(bundle, model, recipe, decision, options.key_field, workers)
    splits = plan_splits(inputs, recipe)
    PROGRESS.begin("predictions", raw_bytes(splits), "score")
    try:
        with open_output(out, scorer.schema) as writer:
            for batch in scorer.score(splits):
                writer.write(batch)
            if not scorer.tally.scored:
                raise UserError(f"{', '.join(inputs)}: no review; "
                                + (_bad_text(scorer.tally) or "there are no records"))
    finally:
        PROGRESS.end()
    return scorer.tally


@contextlib.contextmanager
def _files(inputs: Sequence[str]) -> Iterator[list[str]]:
    """The inputs, with standard input as a file."""
    if "-" not in inputs:
        yield list(inputs)
        return
    with tempfile.TemporaryDirectory(prefix="reviewmill-") as folder:
        saved = save_standard_input(Path(folder))
        yield [saved if name == "-" else name for name in inputs]


def describe(tally: Tally, out: str, seconds: float) -> Iterator[str]:
    """What was done, as lines for people."""
    if tally.bad:
        yield f"bad: {_bad_text(tally)}"
    if tally.cut:
        yield f"{tally.cut:,} reviews are longer than the model reads"
    yield (f"{out}: {tally.scored:,} predictions for {tally.records:,} records, "
           f"{tally.scored / seconds:,.0f} reviews/s, {seconds:.1f} s")


def _bad_text(tally: Tally) -> str:
    reasons = ", ".join(f"{n:,} {why}" for why, n in sorted(tally.bad.items()))
    places = "; ".join(f"{bad.path}:{bad.line}: {bad.reason}" for bad in tally.places)
    return f"{reasons} ({places})" if places else reasons
