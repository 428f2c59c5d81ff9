"""`reviewmill prepare`: raw reviews to a store, by driving the three jobs."""

import argparse
import contextlib
import fcntl
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from mapreduce.count_words import CountWords
from mapreduce.encode_reviews import EncodeReviews, read_counts
from mapreduce.engines import RUNNERS, log_to_stderr, run_job
from mapreduce.feature_counts import read_encoding
from mapreduce.gather_reviews import ROLES, GatherReviews
from mapreduce.gathered import Gathered
from reviews.corpora import Split, plan_splits, raw_bytes
from reviews.errors import UserError, disk_is_full
from reviews.files import absolute, open_input, save_standard_input
from reviews.options import add_options, given, make_parser
from reviews.recipe import Recipe, load_recipe
from reviews.store import Store, write_atomically
from reviews.vectors import read_vectors
from reviews.vocabulary import given_vocabulary

# One shard for so many bytes of input, inflated; a task holds one or two of them in memory.
PARTITION_BYTES = 64 << 20
# Plain files are read in splits of so many bytes.
SPLIT_BYTES = 64 << 20
# From so many shards on, and with several splits, all cores are used unless told otherwise.
LOCAL_PARTITIONS = 8


@dataclass(frozen=True)
class Words:
    """Files that a user gives about words: a vocabulary, and vectors of words."""

    vocabulary: str | None = None
    vectors: str | None = None

    def check(self) -> None:
        """Raise UserError for files that cannot be used, before anything is read."""
        if self.vocabulary:
            given_vocabulary(Path(self.vocabulary))
        if self.vectors:
            open_input(self.vectors).close()

    def options(self, most_frequent: list[str], work: Path) -> list[str]:
        """What job 3 is told of them; the vectors of the vocabulary's words go into a file."""
        options = []
        if self.vocabulary:
            options += ["--vocabulary", os.path.abspath(self.vocabulary)]
        if self.vectors:
            words = given_vocabulary(Path(self.vocabulary)) if self.vocabulary else most_frequent
            vectors = read_vectors(self.vectors, words)
            np.save(work / "vectors.npy", vectors)
            options += ["--vectors", str(work / "vectors.npy")]
            found = int(vectors.any(1).sum())
            progress(f"word vectors: {found:,} of {len(words):,} words "
                     f"({found / max(1, len(words)):.1%}), {vectors.shape[1]} numbers each")
        return options


NO_WORDS = Words()


def parser() -> argparse.ArgumentParser:
    """The options of the command: those of the recipe, and how to run."""
    out = make_parser("reviewmill prepare", "Turn raw reviews into a store of token sequences.")
    out.add_argument(
        "input", nargs="*", help="files, folders or patterns, - for standard input, or addresses "
        "(s3://, hdfs://); plain, .gz, .bz2 or .zst",
    )
    out.add_argument("--out", metavar="STORE", help="folder of the store")
    out.add_argument("--recipe", default="default", help="preset, or recipe file")
    out.add_argument("--print-recipe", action="store_true", help="show the resolved recipe and end")
    out.add_argument(
        "--test-input", nargs="+", default=[], metavar="FILE", help="a given test split"
    )
    out.add_argument(
        "--validation-input", nargs="+", default=[], metavar="FILE", help="a given validation split"
    )
    out.add_argument(
        "--runner", choices=RUNNERS, help="default: local where the input is large, else inline"
    )
    out.add_argument(
        "--workers", type=int, metavar="N", help="cores used (default: all, if the input is large)"
    )
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
        print(recipe.resolved().to_yaml(), end="")
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
        inputs, Path(options.out), recipe.resolved(), options.runner, options.workers,
        options.overwrite, Words(options.vocabulary, options.vectors),
    )
    records, seconds = summary["records"], summary["seconds"]
    dropped = ", ".join(f"{n:,} {rule}" for rule, n in records["dropped"].items() if n)
    bad = ", ".join(f"{n:,} {reason}" for reason, n in records["bad"].items())
    print(f"{records['read']:,} records read; dropped: {dropped or 'none'}; bad: {bad or 'none'}")
    speed = f"{records['read'] / seconds:,.0f} reviews/s"
    rate = f"{summary['bytes'] / seconds / 1e6:,.1f} MB/s"
    print(f"{options.out}: {records['stored']:,} reviews, {speed}, {rate}, {seconds:.1f} s")
    return 0


def prepare(
    inputs: dict[str, Sequence[str]],
    out: Path,
    recipe: Recipe,
    runner: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    words: Words = NO_WORDS,
) -> dict[str, Any]:
    """Make a store of the inputs, by role: corpus, validation, test.

    The store appears under its name whole or not at all. Returns what prepare.json holds.
    """
    if workers is not None and workers < 1:
        raise UserError(f"--workers is {workers}: give 1 or more")
    started = time.time()
    words.check()
    _refuse_unless_free(out, overwrite)
    with _partial_folder(out) as partial:
        splits = _plan(inputs, recipe, partial)
        runner, workers = choose_engine(runner, workers, splits)
        phases = _run_jobs(partial, splits, recipe, runner, workers, words)
        manifest = Store(partial / "store").manifest
        size, work_bytes = phases.pop("bytes"), phases.pop("work_bytes")
        summary = {
            "seconds": time.time() - started,
            "phases": phases,
            "bytes": size,
            "work_bytes": work_bytes,
            "runner": runner,
            "workers": workers,
            "records": manifest["records"],
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            "host": platform.node(),
            "python": platform.python_version(),
        }
        write_atomically(
            partial / "store" / "prepare.json", json.dumps(summary, indent=1).encode() + b"\n"
        )
        _put_in_place(partial / "store", out)
    return summary


def _plan(
    inputs: dict[str, Sequence[str]], recipe: Recipe, partial: Path
) -> dict[str, list[Split]]:
    """The splits of the inputs, by role; `-` is read into the folder of the unfinished store."""
    if [path for paths in inputs.values() for path in paths].count("-") > 1:
        raise UserError("standard input (-) is given twice; its reviews can be read once")
    splits: dict[str, list[Split]] = {}
    for role, paths in inputs.items():
        files = [save_standard_input(partial) if path == "-" else path for path in paths]
        splits[role] = plan_splits(files, recipe, SPLIT_BYTES) if files else []
    return splits


def _run_jobs(
    partial: Path, splits: dict[str, list[Split]], recipe: Recipe, runner: str, workers: int,
    words: Words,
) -> dict[str, Any]:
    """The three jobs; returns the seconds of each, the bytes read, and those of the work folder."""
    work, phases = partial / "work", {}
    work.mkdir()
    recipe_file = work / "recipe.yaml"
    recipe_file.write_text(recipe.to_yaml(), "utf-8")
    # mrjob's own files lie with ours, so that what a killed run leaves is found and removed.
    common = ["--recipe-file", str(recipe_file), "--local-tmp-dir", str(work)]
    partitions = partitions_of(splits)
    progress(f"splits: {sum(map(len, splits.values()))}, shards: {partitions}, runner: {runner}, "
             f"workers: {workers}")

    clock = time.perf_counter()
    descriptors = write_descriptors(work, splits, workers)
    options = [*common, "--work-dir", str(work), "--partitions", str(partitions)]
    pairs = run_job(GatherReviews, descriptors, options, runner, workers)
    lines = [value for _, value in pairs]
    gathered = Gathered.of(lines, recipe)
    gathered.check()
    gathered_file = work / "gathered.txt"
    with open(gathered_file, "wb") as file:
        for number, value in sorted(pairs, key=lambda pair: pair[0]):
            file.write(orjson.dumps(number) + b"\t" + orjson.dumps(value) + b"\n")
    clock = _phase(phases, "gather", clock, f"{gathered.counts['read']:,} records read")
    for place in gathered.places:
        progress(f"cannot be read: {place['path']}:{place['line']} {place['reason']}")

    tasks = write_tasks(work, pairs, workers)
    common += ["--gathered", str(gathered_file)]
    counted = run_job(CountWords, tasks, [*common, "--work-dir", str(work)], runner, workers)
    words_file = work / "words.txt"
    with open(words_file, "wb") as file:
        for number, part in counted:
            file.write(orjson.dumps(number) + b"\t" + orjson.dumps(part) + b"\n")
    vocabulary, totals = read_counts(words_file, recipe)
    clock = _phase(phases, "count", clock, f"{totals.get('distinct', 0):,} distinct words")
    for entry in read_encoding(words_file, recipe).entries:
        progress(f"feature {entry['field']}: {entry['present']:,} training rows have a "
                 f"{entry['kind']}")

    options = [*common, "--words", str(words_file), "--store", str(partial / "store"),
               *words.options(vocabulary, work)]
    run_job(EncodeReviews, tasks, options, runner, workers)
    _phase(phases, "encode", clock, f"{gathered.partitions} shards")
    # Nothing was deleted on the way, so this is the most that the folder held.
    held = sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
    return {**phases, "bytes": gathered.counts["bytes"], "work_bytes": held}


def choose_engine(
    runner: str | None, workers: int | None, splits: dict[str, list[Split]]
) -> tuple[str, int]:
    """The runner and the cores it uses, where the user left them open.

    Tasks of their own take a second or two to start: little work is done sooner inline.
    """
    large = sum(map(len, splits.values())) > 1 and partitions_of(splits) >= LOCAL_PARTITIONS
    if runner is None:
        runner = "local" if (workers or 0) > 1 or (workers is None and large) else "inline"
    return runner, 1 if runner == "inline" else workers or len(os.sched_getaffinity(0))


def partitions_of(splits: dict[str, list[Split]]) -> int:
    """The number of partitions: a function of the input's bytes alone."""
    every = [split for some in splits.values() for split in some]
    return max(1, -(-raw_bytes(every) // PARTITION_BYTES))


def write_descriptors(work: Path, splits: dict[str, list[Split]], tasks: int) -> list[Path]:
    """Input files of job 1, one for each task, with one line for each split."""
    assert set(splits) <= set(ROLES)
    lines = [
        # Tasks run in folders of their own.
        orjson.dumps({**vars(split), "path": absolute(split.path), "role": role})
        for role, some in splits.items()
        for split in some
    ]
    return _deal(work, "splits", lines, tasks)


def write_tasks(work: Path, pairs: list[tuple[Any, Any]], tasks: int) -> list[Path]:
    """Input files of jobs 2 and 3, one for each task."""
    lines = [
        orjson.dumps(number) + b"\t" + orjson.dumps(
            {key: value[key] for key in ("file", "offset", "length")})
        for number, value in sorted(pairs, key=lambda pair: pair[0])
        if "file" in value
    ]
    return _deal(work, "partitions", lines, tasks)


def _deal(work: Path, name: str, lines: list[bytes], tasks: int) -> list[Path]:
    """Deal lines out to files like cards: mrjob gives each file a task of its own."""
    paths = []
    for number in range(min(tasks, len(lines))):
        path = work / f"{name}-{number}.txt"
        path.write_bytes(b"".join(line + b"\n" for line in lines[number::tasks]))
        paths.append(path)
    return paths


def progress(text: str) -> None:
    """One plain line about how far the work is."""
    print(f"prepare: {text}", file=sys.stderr, flush=True)


def _phase(phases: dict[str, float], name: str, clock: float, text: str) -> float:
    now = time.perf_counter()
    phases[name] = now - clock
    progress(f"{name}: {text}, {now - clock:.1f} s")
    return now


def _refuse_unless_free(out: Path, overwrite: bool) -> None:
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists() and not overwrite:
        raise UserError(f"{out} exists and is not empty; name another --out, or add --overwrite")
    if out.exists() and not ((out / "manifest.json").is_file() or (out / "shards").is_dir()):
        raise UserError(f"{out} is not a store, so --overwrite does not delete it")


@contextlib.contextmanager
def _partial_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that holds the unfinished store; what a killed run left is removed."""
    out.parent.mkdir(parents=True, exist_ok=True)
    lock_path = out.parent / f".{out.name}.lock"
    with open(lock_path, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another prepare is writing {out}") from None
        partial = out.parent / f".{out.name}.partial"
        if (partial / "old").is_dir() and not out.exists():
            (partial / "old").rename(out)  # killed just before the new one had its name
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            (partial / "store").mkdir()
            yield partial.resolve()
        except OSError as error:
            if disk_is_full(error):
                raise UserError(
                    f"no space left on the disk of {out.parent.resolve()}, where the unfinished "
                    "store and its work folder lie"
                ) from None
            raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            lock_path.unlink(missing_ok=True)


def _put_in_place(store: Path, out: Path) -> None:
    """Give the finished store its name; an old one goes only now."""
    old = store.parent / "old"
    if out.exists():
        out.rename(old)
    store.rename(out)


