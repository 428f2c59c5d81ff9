"""Outputs of finished tasks in the work folder, so that a run that was killed can go on.

A task is one line of input of a mapper, or one key of a reducer with its lines. What it has put
out is written to a file when all work files that it names are complete. The name of the file is a
hash of what made it: the job, its arguments (files by their content), the stage and the lines. So
a task is done again exactly when something that it depends on is another.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from reviews.errors import UserError
from reviews.runtime.progress import PROGRESS
from reviews.storage.files import at_once, is_remote
from reviews.storage.folders import delete, join, names_below, read_whole, sha256, write_whole
from reviews.storage.input_file import size_of
from reviews.storage.work_files import SUFFIX

FOLDER = "finished"  # below the work folder: a file for each task, and in JOBS for each job
JOBS = "jobs"
REUSED = "reused"  # group of counters: tasks and jobs that an earlier run had finished
# Arguments that name a folder of the driver, or say how many work on a task.
_ASIDE = ("--local-tmp-dir", "--threads")

Pair = tuple[Any, Any]


class FinishedTasks:
    """Files of the tasks of one job.

    Args:
        work: address of the work folder.
        made_by: hash of all that the tasks depend on beside their lines.
    """

    def __init__(self, work: str, made_by: str) -> None:
        self._work, self._made_by = work, made_by
        self._folder = join(work, FOLDER)

    def task(self, stage: str, key: Any, values: Iterable[Any]) -> str:
        """The file of a task; lines of a reducer come in any order."""
        lines = sorted(json.dumps(value, sort_keys=True) for value in values)
        return join(self._folder, f"{_hash(self._made_by, stage, json.dumps(key), *lines)}.json")

    def job(self, lines: Sequence[bytes]) -> str:
        """The file of the whole job."""
        name = _hash(self._made_by, *sorted(line.decode() for line in lines))
        return join(join(self._folder, JOBS), f"{name}.json")

    def read(self, path: str) -> list[Pair] | None:
        """Output of a task or job; None where it has not ended, or its files are gone."""
        try:
            entry = json.loads(read_whole(path))
        except FileNotFoundError:
            return None
        if not all(at_once(_is_there, entry["files"])):
            return None
        PROGRESS.leave_out(entry["progress"])
        return [(key, value) for key, value in entry["pairs"]]

    def write(
        self, path: str, pairs: Sequence[Pair], files: Iterable[str] = (), progress: int = 0
    ) -> None:
        """Keep the output of a task or job, once its files are on the disk.

        An error is not kept: the next run may meet none.

        Args:
            files: those it has made beside the work files that it names.
            progress: amount by which it brought its job on.
        """
        if any(_is_error(value) for _, value in pairs):
            return
        named = sorted({*work_files(pairs, self._work), *files})
        for file in named:
            _flush(file)
        entry = {"files": named, "progress": progress, "pairs": pairs}
        write_whole(path, json.dumps(entry).encode())


def work_files(value: Any, work: str) -> Iterator[str]:
    """Files of a work folder that lines name, anywhere in them."""
    if isinstance(value, str):
        if value.endswith(SUFFIX) and value.startswith(join(work, "")):
            yield value
    elif isinstance(value, dict):
        yield from work_files(list(value.values()), work)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from work_files(one, work)


def made_by(job: str, arguments: Sequence[str], run: str) -> str:
    """Hash of what all tasks of a job depend on: its arguments, files by their content.

    run: hash of what the run is made of.
    """
    parts = [run, job]
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if before in _ASIDE:
            continue
        is_file = os.path.isabs(argument) and os.path.isfile(argument)
        parts.append(sha256(Path(argument)) if is_file else argument)
    return _hash(*parts)


def any_finished(work: str) -> bool:
    """True where a task of an earlier run has ended."""
    return bool(names_below(join(work, FOLDER)))


def tidy(work: str, store: str, kept: str) -> int:
    """Delete all in a work folder that no finished task names; return the number of these tasks.

    A task whose files are gone, from there or from the store, is not finished; nor is any job
    then. `kept` is a folder below the work folder that stays as it is.
    """
    names = names_below(work)
    there = {join(work, name) for name in names} | {
        join(store, name) for name in names_below(store)}
    notes = [name for name in names if _is_note(name)]
    found = at_once(_files_of, [join(work, name) for name in notes])
    whole = {note: files for note, files in zip(notes, found, strict=True)
             if there.issuperset(files)}
    if len(whole) < len(notes):
        whole = {note: files for note, files in whole.items() if not _is_of_job(note)}
    named = {file for files in whole.values() for file in files}
    used = {name for name in names
            if name in whole or name.startswith(f"{kept}/") or join(work, name) in named}
    tops = {name.split("/")[0] for name in used}
    # An engine may not like a folder that is left, even an empty one.
    unused = {name if name.split("/")[0] in tops else name.split("/")[0]
              for name in names if name not in used}
    at_once(delete, [join(work, name) for name in sorted(unused)])
    return sum(not _is_of_job(note) for note in whole)


def _is_note(name: str) -> bool:
    """True for the file of a task or job, and not for one that is half written."""
    return name.startswith(f"{FOLDER}/") and not Path(name).name.startswith(".")


def _is_of_job(note: str) -> bool:
    return note.startswith(f"{FOLDER}/{JOBS}/")


def _files_of(path: str) -> list[str]:
    files: list[str] = json.loads(read_whole(path))["files"]
    return files


def _is_there(file: str) -> bool:
    if not is_remote(file):
        return os.path.isfile(file)
    try:
        size_of(file)
    except UserError:
        return False
    return True


def _flush(file: str) -> None:
    """Have a file of this machine on its disk, so that it outlives the machine's end, too."""
    if not is_remote(file):
        with open(file, "rb") as opened:
            os.fsync(opened.fileno())


def _is_error(value: Any) -> bool:
    """True for a line about input that could not be read; the next run may be able to."""
    return isinstance(value, dict) and (
        value.get("kind") == "error" or bool(value.get("errors")))


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
