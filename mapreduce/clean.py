"""`reviewmill clean`: raw reviews to cleaned text in Parquet, on any of the runners."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from mapreduce.clean_reviews import CleanReviews
from mapreduce.engines.options import EngineOptions
from mapreduce.engines.run_job import ENGINES, log_to_stderr, run_job
from mapreduce.findings import find_escapes, say_empty
from mapreduce.partitions.gather_summary import fate_text, nothing_left, refuse_bad
from mapreduce.prepare import SPLIT_BYTES, choose_engine
from mapreduce.run_folders import places_for, refuse_unless_free
from reviews.corpora import plan_splits
from reviews.errors import UserError
from reviews.options import add_options, config_from, given, make_parser
from reviews.recipe import Recipe, load_recipe
from reviews.record import ValuesSeen
from reviews.runtime.spark import add_spark_conf
from reviews.storage.files import absolute, is_remote, with_standard_input


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    out = make_parser("reviewmill clean", "Turn raw reviews into cleaned text, in Parquet.")
    out.add_argument("input", nargs="+", help="files, folders or patterns, - for standard input, "
                     "or addresses")
    out.add_argument("--out", metavar="FOLDER", required=True, help="for the Parquet files")
    out.add_argument("--recipe", default="default", help="preset, or recipe file")
    add_options(out, EngineOptions, ("spark_conf",), "clean")
    add_spark_conf(out)
    add_options(out, Recipe, command="clean")
    return out


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    options = parser().parse_args(argv)
    recipe = load_recipe(options.recipe, given(options, Recipe)).resolved()
    log_to_stderr(verbose=False)
    started = time.perf_counter()
    engine = config_from(options, EngineOptions)
    counts, bad = clean_files(options.input, options.out, recipe, engine)
    seconds = time.perf_counter() - started
    records, texts = counts.pop("read"), counts.pop("texts")
    print(fate_text(records, counts, bad))
    print(f"{options.out}: {texts:,} texts of {records:,} records, "
          f"{records / seconds:,.0f} reviews/s, {seconds:.1f} s")
    return 0


def clean_files(
    inputs: Sequence[str], out: str, recipe: Recipe, options: EngineOptions
) -> tuple[dict[str, int], dict[str, int]]:
    """Write a Parquet file for each piece of the inputs.

    A folder on this machine appears whole or not at all. Returns the counts of records read, of
    texts and of what was dropped by rule; and of bad records by reason.
    """
    options.check()
    if recipe.tokens.tokenizer != "words":
        raise UserError("clean writes words: its recipe cannot have another tokenizer")
    refuse_unless_free(out, overwrite=None)
    engine = ENGINES[options.runner or "inline"]
    engine.check(options)
    with places_for(out, options.work_dir, engine.is_cluster) as places:
        places.local.mkdir(exist_ok=True)
        files = with_standard_input(inputs, places.local)
        splits = {"corpus": plan_splits(files, recipe, SPLIT_BYTES)}
        if not splits["corpus"]:
            raise UserError(f"{', '.join(inputs)}: nothing but empty files")
        recipe = find_escapes(recipe, splits, "clean")
        options = choose_engine(options, splits)
        recipe_file = places.local / "recipe.yaml"
        recipe_file.write_text(recipe.to_yaml(), "utf-8")
        lines = [
            orjson.dumps({**vars(split), "path": absolute(split.path), "number": number})
            for number, split in enumerate(splits["corpus"])
        ]
        arguments = ["--recipe-file", str(recipe_file), "--work-dir", places.work,
                     "--out", places.store]
        with ENGINES[options.runner or "inline"].session(options, places, splits) as options:
            [(_, cleaned)] = run_job(CleanReviews, lines, arguments, options, places).pairs
        counts, bad = cleaned["counts"], cleaned["bad"]
        say_empty(cleaned["empty"], "clean")
        refuse_bad(counts.get("read", 0), bad, recipe, seen=ValuesSeen(*cleaned["seen"]))
        if not counts.get("texts"):
            raise UserError(nothing_left(counts))
        if not is_remote(out):
            Path(places.store).rename(out)
    return counts, bad
