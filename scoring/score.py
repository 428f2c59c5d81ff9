"""`reviewmill score`: files of reviews to predictions."""

import argparse
import contextlib
import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reviews.bundle import Bundle
from reviews.corpora import InputSplit, plan_splits, raw_bytes
from reviews.errors import UserError
from reviews.options import (
    add_options,
    check_bounds,
    config_from,
    flag,
    given,
    make_parser,
    option,
    replace_flat,
    to_mapping,
)
from reviews.recipe import Recipe
from reviews.runtime.progress import PROGRESS
from reviews.runtime.spark import SPARK_CONF, add_spark_conf
from reviews.storage.files import absolute, calls_standard_input, with_standard_input
from scoring.decision import Decision
from scoring.files import NO_NAMES, FileScorer, Tally
from scoring.model import load_model
from scoring.output import STANDARD_OUTPUT, check_output, is_folder, open_output
from scoring.parts import PART_BYTES, begin, finish, part_name, write_parts
from scoring.spark.cluster import is_submitted, open_cluster
from scoring.spark.stream import AVAILABLE_NOW, FOLLOW, check_folder, score_stream
from scoring.spark.tasks import Job, Task
from scoring.summary import Summary, check_page

FILES_PER_BATCH = 100


@dataclasses.dataclass(frozen=True)
class ScoreOptions:
    """Options of `score` beside those about files."""

    key_field: str | None = option(
        None, "field whose value goes with each prediction; else file and record number")
    threshold: float | None = option(
        None, "lowest probability of the second of two classes for its label (0.5)")
    unsure: tuple[float, ...] = option(
        (), "probabilities of the second of two classes between which the label is 'unsure'")
    summary: str | None = option(
        None, "page about the labels over time, by product and by file")
    engine: str = option("local", "engine that scores: this machine, or a Spark cluster",
                         ("local", "spark"))
    spark_master: str | None = option(
        None, "spark: address of the cluster, spark://HOST:PORT", only_if={"engine": ("spark",)})
    spark_conf: tuple[str, ...] = option((), SPARK_CONF, only_if={"engine": ("spark",)})
    stream: str | None = option(
        None, "scoring of files as they are renamed into the folder INPUT: follow it until the "
        "command is ended, or take those that are there now", (FOLLOW, AVAILABLE_NOW),
        only_if={"engine": ("spark",)})
    files_per_batch: int | None = option(
        None, f"largest number of files of a batch of the stream (default: {FILES_PER_BATCH})",
        at_least=1, only_if={"stream": (FOLLOW, AVAILABLE_NOW)})
    workers: int = option(0, "number of threads; 0: all cores", at_least=0)
    resume: bool = option(False, "go on with a folder of parts after its last one")
    overwrite: bool = option(False, "replace predictions that are there")

    def __post_init__(self) -> None:
        check_bounds(self, flag)
        if self.resume and (self.overwrite or self.summary):
            raise UserError("--resume goes with neither --overwrite nor --summary")
        if self.engine == "spark":
            if not self.spark_master and not is_submitted():
                raise UserError("--engine spark needs --spark-master spark://HOST:PORT; "
                                "`reviewmill cluster spark start` starts a cluster here")
            if self.resume or self.summary or self.workers:
                raise UserError("--resume, --summary and --workers are for --engine local")
        elif self.spark_master or self.spark_conf or self.stream:
            raise UserError("--spark-master, --spark-conf and --stream are for --engine spark")
        if self.files_per_batch is not None and self.stream is None:
            raise UserError("--files-per-batch is for --stream")


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    out = make_parser("reviewmill score", "Predictions of a model for the reviews of files.")
    out.add_argument("model", metavar="MODEL", help="run folder or bundle")
    out.add_argument("input", nargs="+", metavar="INPUT",
                     help="files, folders, patterns or addresses; - for standard input")
    out.add_argument("--out", required=True, metavar="PATH",
                     help="predictions: .parquet, .jsonl or .csv, - for JSON lines on stdout; "
                     "without a suffix a folder of parts")
    add_spark_conf(out)
    add_options(out, ScoreOptions, skip=("spark_conf",))
    add_options(out, Recipe, command="score")
    return out


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    arguments = parser().parse_args(argv)
    options = config_from(arguments, ScoreOptions)
    started = time.perf_counter()
    with _files(arguments.input) as (inputs, called):
        tally = score_files(arguments.model, inputs, arguments.out, options,
                            given(arguments, Recipe, "score"), called=called)
    seconds = time.perf_counter() - started
    for line in describe(tally, arguments.out, seconds):
        print(line, file=sys.stderr if arguments.out == STANDARD_OUTPUT else sys.stdout)
    return 0


def score_files(
    path: str, inputs: Sequence[str], out: str, options: ScoreOptions,
    about_files: dict[str, object], part_bytes: int = PART_BYTES,
    called: Mapping[str, str] = NO_NAMES,
) -> Tally:
    """Write the predictions of a model for all reviews of the inputs.

    about_files: keys of the recipe that say how the files are read. part_bytes: bytes of input of
    a part of a folder. called: names of inputs for people, by their paths. Raises
    UserError where there is no review in them.
    """
    if not is_folder(out):
        if options.engine == "spark":
            raise UserError(f"--engine spark writes a folder of parts, and --out {out} is none")
        if options.resume:
            raise UserError(f"--resume is for a folder of parts, and --out {out} is none")
        check_output(out, options.overwrite)
    if options.summary is not None:
        check_page(options.summary)
    bundle, model = load_model(path)
    decision = Decision(tuple(bundle.model["classes"]), options.threshold,
                        options.unsure or None)
    # Keys are for stores: files need not have them.
    recipe = replace_flat(bundle.recipe, keep_keys=(), source_field=None, **about_files)
    if options.stream is not None:
        return _score_stream(bundle, recipe, decision, inputs, out, options)
    if options.engine == "spark":
        tally = _score_on_spark(bundle, recipe, decision, inputs, out, options)
        _check_scored(tally, inputs)
        return tally
    summary = Summary(decision.names) if options.summary is not None else None
    scorer = FileScorer(bundle, model, recipe, decision, options.key_field,
                        options.workers or len(os.sched_getaffinity(0)), summary, called)
    names = [called.get(path, path) for path in inputs]
    splits = _plan(inputs, names, recipe)
    PROGRESS.begin("predictions", raw_bytes(splits), "score")
    try:
        if is_folder(out):
            plan = plan_of(bundle, sizes_of(splits), recipe, options)
            _score_to_folder(scorer, splits, out, options, plan, part_bytes)
        else:
            with open_output(out, scorer.schema) as writer:
                for scored in scorer.score(splits):
                    for batch in scored.batches:
                        writer.write(batch)
                _check_scored(scorer.tally, names)
    finally:
        PROGRESS.end()
    _check_scored(scorer.tally, names)
    if summary is not None and options.summary is not None:
        about = {"model": path, "inputs": names, "records": scorer.tally.records,
                 "scored": scorer.tally.scored, "bad": dict(scorer.tally.bad)}
        summary.write_page(options.summary, about)
    return scorer.tally


def _plan(paths: Sequence[str], inputs: Sequence[str], recipe: Recipe) -> list[InputSplit]:
    """The input splits of the files; UserError, with their names as given, where all are empty."""
    splits = plan_splits(paths, recipe)
    if not splits:
        raise UserError(f"{', '.join(inputs)}: nothing but empty files")
    return splits


def _score_to_folder(
    scorer: FileScorer, splits: Sequence[InputSplit], out: str, options: ScoreOptions,
    plan: dict[str, Any], part_bytes: int,
) -> None:
    begun = begin(out, plan, options.resume, options.overwrite)
    scorer.tally = begun.tally
    scored = scorer.score(splits, begun.position)
    write_parts(out, scored, scorer.schema, scorer.tally, begun.parts, part_bytes)
    if scorer.tally.scored:
        finish(out)


def _score_on_spark(
    bundle: Bundle, recipe: Recipe, decision: Decision, inputs: Sequence[str], out: str,
    options: ScoreOptions,
) -> Tally:
    job = Job(absolute(out), recipe, decision, options.key_field)
    splits = _plan([*map(absolute, inputs)], inputs, recipe)  # as nodes have to say it
    begin(job.folder, plan_of(bundle, sizes_of(splits), recipe, options), False,
          options.overwrite)
    tasks = [Task(part_name(number), split) for number, split in enumerate(splits)]
    with open_cluster(bundle, options.spark_master, options.spark_conf) as cluster:
        tally = cluster.score(job, tasks)
    if tally.scored:
        finish(job.folder)
    return tally


def _score_stream(
    bundle: Bundle, recipe: Recipe, decision: Decision, inputs: Sequence[str], out: str,
    options: ScoreOptions,
) -> Tally:
    if len(inputs) > 1:
        raise UserError(f"--stream follows one folder, not {len(inputs)}")
    [folder] = inputs
    check_folder(folder, out)
    job = Job(absolute(out), recipe, decision, options.key_field)
    plan = plan_of(bundle, {absolute(folder): 0}, recipe, options)
    begin(job.folder, plan, not options.overwrite, options.overwrite)
    assert options.stream is not None
    with open_cluster(bundle, options.spark_master, options.spark_conf) as cluster:
        return score_stream(cluster, job, folder, out,
                            options.stream, options.files_per_batch or FILES_PER_BATCH,
                            report=lambda line: print(line, flush=True))


def sizes_of(splits: Sequence[InputSplit]) -> dict[str, int]:
    """Bytes of each file that the splits are of."""
    return {split.path: split.file_bytes for split in splits}


def plan_of(
    bundle: Bundle, sizes: dict[str, int], recipe: Recipe, options: ScoreOptions
) -> dict[str, Any]:
    """Plan of a folder: all that decides the predictions, as plain values.

    sizes: bytes of each file of the input.
    """
    decided = {name: getattr(options, name) for name in ("key_field", "threshold", "unsure",
                                                        "engine")}
    return {"model": bundle.files, "inputs": sizes,
            "options": {**decided, **to_mapping(recipe)}}


def _check_scored(tally: Tally, inputs: Sequence[str]) -> None:
    if not tally.scored:
        raise UserError(f"{', '.join(inputs)}: no review; "
                        + (_bad_text(tally) or "there are no records"))


@contextlib.contextmanager
def _files(inputs: Sequence[str]) -> Iterator[tuple[list[str], Mapping[str, str]]]:
    """The inputs, with standard input as a file, and by their paths their names for people."""
    with tempfile.TemporaryDirectory(prefix="reviewmill-") as name:
        folder = Path(name)
        files = with_standard_input(inputs, folder)
        with calls_standard_input(folder):
            yield files, dict(zip(files, inputs, strict=True))


def describe(tally: Tally, out: str, seconds: float) -> Iterator[str]:
    """Counts of a run, as lines for people."""
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
