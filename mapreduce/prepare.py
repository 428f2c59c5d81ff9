"""`reviewmill prepare`: raw reviews to a store, by driving the three jobs."""

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from mapreduce.count_words import CountWords, word_partitions
from mapreduce.cut_files import CUT_ABOVE, CutFiles, files_to_cut, pieces_of
from mapreduce.encode_reviews import EncodeReviews, merge_words
from mapreduce.engines.options import EngineOptions
from mapreduce.engines.run_job import ENGINES, Engine, log_to_stderr, run_job
from mapreduce.feature_counts import check_best, read_encoding
from mapreduce.findings import (
    find_escapes,
    progress,
    retries_text,
    reused_text,
    say_empty,
    warn_of,
)
from mapreduce.gather_reviews import ROLES, GatherReviews
from mapreduce.given_words import NO_WORDS, Words
from mapreduce.inspect_store import shares, shares_text
from mapreduce.job import requests_made_again
from mapreduce.job_lines import partition_lines, write_pairs
from mapreduce.partitions.common_words import sample_words
from mapreduce.partitions.gather_summary import GatherSummary, fate_text
from mapreduce.resume.unfinished_run import go_on, lines_at_a_failure, made_of
from mapreduce.run_folders import (
    INPUTS,
    RunFolders,
    clear,
    is_in_place,
    places_for,
    plain_copy,
    plain_name,
    put_in_place,
    refuse_unless_free,
    remove_strays,
)
from reviews.corpora import InputSplit, plan_files, raw_bytes
from reviews.errors import UserError
from reviews.options import add_options, config_from, given, make_parser
from reviews.recipe import SPLITS, Recipe, load_recipe
from reviews.runtime.progress import PROGRESS
from reviews.runtime.spark import add_spark_conf
from reviews.storage.files import absolute, find_files, is_remote, with_standard_input
from reviews.storage.folders import join, names_below, put, read_whole, write_whole
from reviews.store import Store
from reviews.text.sequences import room_for_words
from reviews.text.subwords import Subwords, tokenizer_file

# One shard for so many bytes of input, inflated; a task holds one or two of them in memory.
PARTITION_BYTES = 128 << 20
# Plain files are read in splits of so many bytes.
SPLIT_BYTES = 64 << 20
# From so many shards on, all cores are used unless told otherwise.
LOCAL_PARTITIONS = 4
# One task settles so many partitions, where the number of workers is the engine's affair.
REDUCER_PARTITIONS = 4


DEFAULT_ENGINE = EngineOptions()


def parser() -> argparse.ArgumentParser:
    """The options of the command: those of the recipe, and how to run."""
    out = make_parser("reviewmill prepare", "Turn raw reviews into a store of token sequences.")
    out.add_argument(
        "input", nargs="*", help="files, folders or patterns, - for standard input, or addresses "
        "(s3://, hdfs://); plain, .gz, .bz2 or .zst",
    )
    out.add_argument("--out", metavar="STORE", help="folder of the store, or its address")
    out.add_argument("--recipe", default="default", help="preset, or recipe file")
    out.add_argument("--print-recipe", action="store_true", help="show the resolved recipe and end")
    out.add_argument(
        "--test-input", nargs="+", default=[], metavar="FILE", help="a given test split"
    )
    out.add_argument(
        "--validation-input", nargs="+", default=[], metavar="FILE", help="a given validation split"
    )
    add_options(out, EngineOptions, skip=("spark_conf",))
    add_spark_conf(out)
    out.add_argument(
        "--vocabulary", metavar="FILE", help="words to use, one a line, such as the "
        "vocabulary.txt of another store, in place of the most frequent",
    )
    out.add_argument(
        "--vectors", metavar="FILE", help="word vectors (text of fastText or GloVe), of which "
        "those of the vocabulary are stored",
    )
    out.add_argument("--overwrite", action="store_true", help="replace what is in --out")
    out.add_argument("--verbose", action="store_true", help="show the messages of mrjob")
    add_options(out, Recipe)
    return out


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    options = parser().parse_args(argv)
    changes = given(options, Recipe)
    recipe = load_recipe(options.recipe, changes)
    if options.print_recipe:
        print(recipe.resolved().to_yaml(every=True), end="")
        return 0
    if not options.input or not options.out:
        raise UserError("prepare needs INPUT... and --out STORE (or --print-recipe)")
    log_to_stderr(options.verbose)
    inputs = {
        "corpus": options.input,
        "validation": options.validation_input,
        "test": options.test_input,
    }
    summary = prepare(
        inputs, options.out, recipe.resolved(), config_from(options, EngineOptions),
        options.overwrite, Words(options.vocabulary, options.vectors),
    )
    records, seconds = summary["records"], summary["seconds"]
    print(fate_text(records["read"], records["dropped"], records["bad"]))
    print(shares_text(summary))
    if counts := summary["requests_made_again"]:
        print(retries_text(counts))
    rates = (f"{records['read'] / seconds:,.0f} reviews/s, "
             f"{summary['bytes'] / seconds / 1e6:,.1f} MB/s")
    if summary["earlier_tasks"]:
        rates = "in a run that went on"
    print(f"{options.out}: {records['stored']:,} reviews, {rates}, {seconds:.1f} s")
    return 0


def prepare(
    inputs: dict[str, Sequence[str]],
    out: str,
    recipe: Recipe,
    options: EngineOptions = DEFAULT_ENGINE,
    overwrite: bool = False,
    words: Words = NO_WORDS,
    partitions: int | None = None,
) -> dict[str, Any]:
    """Make a store of the inputs, by role: corpus, validation, test.

    The store appears under its name whole or not at all. Returns what prepare.json holds.

    Args:
        partitions: number of partitions, and so of shards (default: by the bytes of the input).
    """
    options.check()
    started = time.time()
    words.check()
    check_best(recipe)
    tokenizer = _check_tokenizer(recipe, words)
    is_done = options.resume and is_in_place(out)
    if not is_done:
        refuse_unless_free(out, overwrite, options.resume)
    engine = ENGINES[options.runner or "inline"]
    engine.check(options)
    if options.work_dir is None and not is_remote(out):
        options = replace(options, work_dir=engine.work_dir())
    with places_for(out, options.work_dir, engine.is_cluster, options.resume) as places:
        splits = _plan(inputs, recipe, places, engine, options.resume)
        recipe = find_escapes(recipe, splits)
        options = choose_engine(options, splits)
        if options.resume:
            given_files = {"vocabulary": words.vocabulary, "vectors": words.vectors,
                           "tokenizer.json": tokenizer}
            places = go_on(places, made_of(splits, recipe, options, given_files, engine.is_cluster))
            if is_done:
                return dict(json.loads(read_whole(join(out, "prepare.json"))))
        if is_remote(places.work) and engine.is_cluster:
            _copy_inputs(splits, places)
        with (lines_at_a_failure(places),
              ENGINES[options.runner or "inline"].session(options, places, splits) as options):
            figures = _run_jobs(places, splits, partitions or partitions_of(splits), recipe,
                                options, words, tokenizer)
        store = Store(places.store)
        remove_strays(places, set(store.manifest["files"]))
        warn_of(store.manifest)
        summary = {
            "seconds": time.time() - started,
            **figures,
            "requests_made_again": requests_made_again(figures["counters"]),
            "work_bytes": places.work_bytes(),
            "earlier_tasks": places.earlier_tasks,
            "runner": options.runner,
            "workers": options.workers,
            "records": store.manifest["records"],
            **shares(store.manifest, SPLITS),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            "host": platform.node(),
            "python": platform.python_version(),
        }
        write_whole(join(places.store, "prepare.json"),
                    json.dumps(summary, indent=1).encode() + b"\n")
        put_in_place(places)
    return summary


def _check_tokenizer(recipe: Recipe, words: Words) -> Path | None:
    """The tokenizer.json that the recipe names, None for words; UserError if it cannot be used."""
    file = tokenizer_file(recipe.tokens)
    if file is None:
        return None
    if words != NO_WORDS:
        raise UserError("--vocabulary and --vectors are for words; a tokenizer has its own")
    length = recipe.encoding.length
    if room_for_words(length, Subwords(file).coding) < 1:
        raise UserError(f"length {length} has no room beside the tokenizer's special ids")
    return file.resolve()


def _plan(
    inputs: dict[str, Sequence[str]], recipe: Recipe, places: RunFolders, engine: Engine,
    resume: bool,
) -> dict[str, list[InputSplit]]:
    """The splits of the inputs, by role; `-` is read into the folder of the run."""
    piped = [path for paths in inputs.values() for path in paths].count("-")
    if piped > 1:
        raise UserError("standard input (-) is given twice; its reviews can be read once")
    if piped and resume:
        raise UserError("standard input (-) cannot be read again, which --resume may have to do: "
                        "give a file")
    splits: dict[str, list[InputSplit]] = {}
    for role, paths in inputs.items():
        files = with_standard_input(paths, places.local)
        found = find_files(files) if files else []
        splits[role] = plan_files(found, recipe, split_bytes(engine))
        if files and not splits[role]:
            raise UserError(f"{', '.join(paths)}: nothing but empty files")
        say_empty(sorted({*found} - {split.path for split in splits[role]}))
    return splits


def _copy_inputs(splits: dict[str, list[InputSplit]], places: RunFolders) -> None:
    """Put local inputs where the nodes can read them."""
    paths = sorted({split.path for some in splits.values() for split in some})
    copies = {path: join(places.work, f"{INPUTS}/{number}-{plain_name(path)}")
              for number, path in enumerate(paths) if not is_remote(path)}
    there = names_below(join(places.work, INPUTS)) if places.made_of else {}
    missing = {path: copy for path, copy in copies.items()
               if there.get(copy.rpartition("/")[2]) != Path(path).stat().st_size}
    if missing:
        progress(f"files of this machine copied to {places.work}: {len(missing)}")
    for path, copy in missing.items():
        put(Path(path), copy)
    for some in splits.values():
        some[:] = [replace(split, path=copies.get(split.path, split.path)) for split in some]


def _run_jobs(
    places: RunFolders, splits: dict[str, list[InputSplit]], partitions: int, recipe: Recipe,
    options: EngineOptions, words: Words, tokenizer: Path | None,
) -> dict[str, Any]:
    """The jobs; returns the seconds of each, the bytes read, and the engine's counters."""
    local, phases, counters = places.local, {}, {}
    recipe_file = local / "recipe.yaml"
    recipe_file.write_text(recipe.to_yaml(), "utf-8")
    # mrjob's own files lie with ours, so that what a killed run leaves is found and removed.
    common = ["--recipe-file", str(recipe_file), "--work-dir", places.work,
              "--local-tmp-dir", str(local)]
    if tokenizer:
        common += ["--tokenizer-file", str(plain_copy(tokenizer, local))]
    frequent = sample_words(splits, recipe, tokenizer).write(local / "common-words.json")
    common += ["--common-words", str(frequent)]
    progress(f"splits: {sum(map(len, splits.values()))}, shards: {partitions}, "
             f"runner: {options.runner}, workers: {options.workers or 'all'}")

    clock = time.perf_counter()
    if ENGINES[options.runner or "inline"].is_cluster:
        splits = _cut_long_files(splits, common, options, places, phases, counters)
        clock = time.perf_counter()
    arguments = [*common, "--partitions", str(partitions),
                 "--threads", str(threads_of(splits, options))]
    PROGRESS.begin("gather", sum(map(raw_bytes, splits.values())))
    ran = run_job(GatherReviews, descriptors(splits), arguments, options, places,
                  reducers_of(partitions, options))
    pairs, counters["gather"] = sorted(ran.pairs, key=lambda pair: pair[0]), ran.counters
    gathered = GatherSummary.of([value for _, value in pairs], recipe)
    gathered.check()
    gathered_file = gathered.write(local / "gathered.txt")
    clock = _phase(phases, counters, "gather", clock, f"{gathered.counts['read']:,} records read")
    say_empty(gathered.empty)
    for bad in gathered.examples:
        progress(f"cannot be read: {bad['path']}:{bad['line']} {bad['reason']}")

    tasks = partition_lines(pairs)
    common += ["--gathered", str(gathered_file)]
    PROGRESS.begin("count", len(tasks))
    ran = run_job(CountWords, tasks, common, options, places,
                  reducers_of(word_partitions(gathered.partitions), options))
    counted, counters["count"] = merge_words([line for _, line in ran.pairs], recipe), ran.counters
    features = [pair for pair in ran.pairs if pair[1]["kind"] == "feature"]
    words_file = write_pairs(local / "words.txt", [(0, counted), *features])
    clock = _phase(phases, counters, "count", clock, f"{counted['distinct']:,} distinct words")
    encoding = read_encoding(words_file, recipe)
    for entry in encoding.entries:
        progress(f"feature {entry['field']}: {entry['present']:,} training rows have a "
                 f"{entry['kind']}")
    if recipe.input.best_features:
        progress(f"feature columns stored: {len(encoding.names)} of {encoding.width}")

    clear(places)
    arguments = [*common, "--words", str(words_file), "--store", places.store,
                 *words.options(counted["words"], local)]
    PROGRESS.begin("encode", len(tasks))
    counters["encode"] = run_job(EncodeReviews, tasks, arguments, options, places).counters
    _phase(phases, counters, "encode", clock, f"{gathered.partitions} shards")
    return {"phases": phases, "bytes": gathered.counts["bytes"], "counters": counters}


def _cut_long_files(
    splits: dict[str, list[InputSplit]], common: list[str], options: EngineOptions,
    places: RunFolders, phases: dict[str, float], counters: dict[str, Any],
) -> dict[str, list[InputSplit]]:
    """The splits on a cluster, with pieces in the place of long files."""
    clock, engine = time.perf_counter(), ENGINES[options.runner or "inline"]
    long, short = files_to_cut(
        splits, CUT_ABOVE if options.cut_above is None else options.cut_above)
    lines = descriptors(long)
    if not lines:
        return splits
    PROGRESS.begin("cut", sum(map(raw_bytes, long.values())))
    ran = run_job(CutFiles, lines, [*common, "--piece-bytes", str(split_bytes(engine))], options,
                  places)
    pieces, counters["cut"] = pieces_of(ran.pairs), ran.counters
    found = sum(map(len, pieces.values()))
    _phase(phases, counters, "cut", clock, f"{len(lines)} long files, {found} pieces")
    return {role: short[role] + pieces.get(role, []) for role in splits}


def choose_engine(options: EngineOptions, splits: dict[str, list[InputSplit]]) -> EngineOptions:
    """The options with the runner and its cores, where the user left them open.

    Tasks of their own take a second or two to start: little work is done sooner inline.
    """
    runner, workers = options.runner, options.workers
    large = partitions_of(splits) >= LOCAL_PARTITIONS
    if runner is None:
        runner = "local" if (workers or 0) > 1 or (workers is None and large) else "inline"
    if runner == "inline":
        workers = 1
    elif not ENGINES[runner].is_cluster:
        workers = workers or len(os.sched_getaffinity(0))
    return replace(options, runner=runner, workers=workers)


def split_bytes(engine: Engine) -> int:
    """The size of a split where a file can be cut."""
    return SPLIT_BYTES * engine.splits_per_task


def reducers_of(partitions: int, options: EngineOptions) -> int:
    """Number of tasks that share the partitions: one for each worker, if their number is known."""
    return min(partitions, options.workers or -(-partitions // REDUCER_PARTITIONS))


def partitions_of(splits: dict[str, list[InputSplit]]) -> int:
    """The number of partitions: a function of the input's bytes alone."""
    every = [split for some in splits.values() for split in some]
    return max(1, -(-raw_bytes(every) // PARTITION_BYTES))


def threads_of(splits: dict[str, list[InputSplit]], options: EngineOptions) -> int:
    """Threads of each task of job 1 on this machine: the largest split's share of all cores.

    A compressed file is one split, however large.
    """
    if ENGINES[options.runner or "inline"].is_cluster:
        return 1
    sizes = [raw_bytes([split]) for some in splits.values() for split in some]
    return max(1, -(-(options.workers or 1) * max(sizes) // max(1, sum(sizes))))


def descriptors(splits: dict[str, list[InputSplit]]) -> list[bytes]:
    """Input lines of job 1, one for each split."""
    assert set(splits) <= set(ROLES)
    return [
        # Tasks run in folders of their own, or on other machines.
        orjson.dumps({**vars(split), "path": absolute(split.path), "role": role})
        for role, some in splits.items()
        for split in some
    ]


def _phase(
    phases: dict[str, float], counters: dict[str, Any], name: str, clock: float, text: str
) -> float:
    PROGRESS.end()
    now = time.perf_counter()
    phases[name] = now - clock
    progress(f"{name}: {text}, {now - clock:.1f} s{reused_text(counters[name])}")
    return now
