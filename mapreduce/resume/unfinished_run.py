"""Record of a run that can go on: what it is made of, in a file of its folder.

A run goes on only with the same recipe, input, files of words, package and runner. What differs
is refused, and named.
"""

import contextlib
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mapreduce.engines.options import EngineOptions
from mapreduce.engines.ship_package import PACKAGES
from mapreduce.findings import progress
from mapreduce.resume.finished_tasks import tidy
from mapreduce.run_folders import INPUTS, RunFolders, can_go_on, read_record, write_record
from reviews.corpora import InputSplit
from reviews.errors import UserError
from reviews.options import to_mapping
from reviews.recipe import Recipe
from reviews.runtime.progress import PROGRESS
from reviews.storage.files import at_once, file_system, is_remote, reason
from reviews.storage.folders import sha256
from reviews.storage.retries import again, errors_of

_SHOWN = 3  # differences in a message
_LIBRARIES = ("numpy", "pyarrow", "h5py", "numba", "mrjob")
# What says that a file at an address is another one, in the words of its file system.
_STAMPS = ("ETag", "etag", "modificationTime", "LastModified", "mtime", "md5Hash", "created")


def made_of(
    splits: Mapping[str, Sequence[InputSplit]], recipe: Recipe, options: EngineOptions,
    files: Mapping[str, str | Path | None], is_cluster: bool,
) -> dict[str, Any]:
    """All that the outputs of a run's tasks depend on, by name.

    files: those that the user gives beside the input, by name.
    """
    inputs = sorted({(split.path, role) for role, some in splits.items() for split in some})
    stamps = at_once(stamp, [path for path, _ in inputs])
    return {
        **to_mapping(recipe, every=True),
        **{name: stamp(str(path)) for name, path in files.items() if path},
        **{f"input {path} ({role})": mark
           for (path, role), mark in zip(inputs, stamps, strict=True)},
        "runner": options.runner if is_cluster else "of this machine",
        "work_dir": options.work_dir,
        "reviewmill": f"{_version('reviewmill')}, code {code_digest()[:8]}",
        "python": ".".join(map(str, sys.version_info[:2])),
        **{name: _version(name) for name in _LIBRARIES},
    }


def go_on(places: RunFolders, made: dict[str, Any]) -> RunFolders:
    """The folders of a run that keeps what its tasks finish.

    Goes on with the run whose record lies there, or begins one. Raises UserError where that run is
    made of other things.
    """
    made = json.loads(json.dumps(made))
    tasks = 0
    if record := read_record(places.kept):
        if differences := differing(record["made_of"], made):
            elsewhere = "" if places.shared.startswith(places.kept) else f" and {places.shared}"
            raise UserError(
                f"{places.kept} has an unfinished run, made of other things: {differences}; "
                f"delete it{elsewhere} to begin again")
        tasks = tidy(places.work, places.store, INPUTS)
        progress(f"going on with the run of {record['started']}: tasks it has finished: {tasks}")
    else:
        started = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        write_record(places.kept, {"started": started, "made_of": made})
        progress("no unfinished run to go on with; this one is kept if it is killed")
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
    return replace(places, made_of=digest, earlier_tasks=tasks)


@contextlib.contextmanager
def lines_at_a_failure(places: RunFolders) -> Iterator[None]:
    """The error of the block stands on a line of its own, after one that says what is kept."""
    try:
        yield
    except BaseException:
        PROGRESS.end()
        if places.made_of and can_go_on(places.kept):
            progress(f"what tasks have finished is kept in {places.kept}; the same command goes "
                     "on with it")
        raise


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first differences of two runs, empty where there is none."""
    found = [_difference(name, before, now) for name in {**before, **now}
             if before.get(name) != now.get(name) or (name in before) != (name in now)]
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return ", ".join(found[:_SHOWN] + more)


def _difference(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if name not in before:
        return f"{name} is new"
    if name not in now:
        return f"{name} is missing"
    return f"{name} was {before[name]}, now {now[name]}"


def stamp(path: str) -> str:
    """Size of a file and what changes with its content, without reading it."""
    try:
        if not is_remote(path):
            status = Path(path).stat()
            return f"of {status.st_size} bytes, changed at {status.st_mtime_ns}"
        system = file_system(path)
        info = again(partial(system.info, path))
    except errors_of() as error:
        raise UserError(f"{path}: {reason(error)}") from None
    marks = [f"{name} {info[name]}" for name in _STAMPS if info.get(name)]
    return ", ".join([f"of {info['size']} bytes", *marks])


@cache
def code_digest() -> str:
    """Hash of the source of the packages that tasks run."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        top = Path(package.__path__[0])
        for path in sorted(top.rglob("*")):
            if path.suffix in (".py", ".yaml"):
                digest.update(f"{path.relative_to(top)} {sha256(path)}\n".encode())
    return digest.hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
