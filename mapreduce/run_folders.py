"""Folders of one run, and the renaming of a finished store.

A store on this machine is made in a folder beside it, which is renamed when all is done. At an
address, where nothing can be renamed at once, its files are written in place, and what the run
needs besides into a folder below it: without the manifest, which comes last, they are no store.
Tasks of a cluster that cannot see the store's folder make it in the work folder, from where it is
fetched and verified.
"""

import contextlib
import json
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from mapreduce.findings import progress
from mapreduce.resume.address_lock import held
from mapreduce.resume.finished_tasks import any_finished
from reviews.errors import UserError, disk_is_full
from reviews.runtime.file_locks import lock_file
from reviews.storage.files import absolute, calls_standard_input, is_remote, reason
from reviews.storage.folders import (
    delete,
    fetch_folder,
    join,
    names_below,
    read_whole,
    sha256,
    write_whole,
)
from reviews.store import Store

# The folder of an unfinished store at an address that is gone when it is finished.
WORK = ".work"
# Files of it: its lock, and one that is there when files of an earlier store are not.
_LOCK, _CLEARED = "lock.json", "cleared"
# The folder below the work folder with copies of local input.
INPUTS = "inputs"
# The file of a run's own folder that names the folder of --work-dir, while it keeps anything.
_ELSEWHERE = "work-folder"
# The file of a run's own folder with what the run is made of, where it can go on.
RECORD = "run.json"
# Tasks of a run that was just killed hold its lock until they have ended, too.
LOCK_S = 5.0
_OURS = ("manifest.json", "shards/", WORK + "/")


@dataclass(frozen=True)
class RunFolders:
    """The folders of one run."""

    home: Path  # holds all that the run has on this machine
    local: Path  # what the driver writes for itself and for mrjob
    work: str  # parcels of the tasks; a process on any node can name it so
    shared: str  # the same folder as an engine's own configuration names it
    store: str  # what the tasks make; on any node, too
    out: str  # what the user called the store
    kept: str  # where a run that can go on has its record: home, or a folder of a store elsewhere
    made_of: str = ""  # hash of what the run is made of, where it keeps what its tasks finish
    earlier_tasks: int = 0  # that an earlier run has finished

    def work_bytes(self) -> int:
        """Bytes of all intermediate files; none is deleted before the end."""
        folders = {self.work, str(self.local)}
        return sum(sum(names_below(folder).values()) for folder in folders)


def refuse_unless_free(out: str, overwrite: bool | None, keep: bool = False) -> None:
    """Raise UserError where something lies under the name of the store that may not go.

    Args:
        overwrite: None for a command without --overwrite.
        keep: what an unfinished run has left there may be gone on with.
    """
    if keep and is_remote(out) and read_record(join(out, WORK)):
        return  # that run was allowed to write there
    if not is_remote(out) and Path(out).exists() and not Path(out).is_dir():
        raise UserError(f"{out} is not a folder")
    names = names_below(out)
    if keep:  # one that was killed before it had a record
        names = {name: size for name, size in names.items() if not name.startswith(WORK + "/")}
    if not names and (is_remote(out) or not Path(out).is_dir() or not any(Path(out).iterdir())):
        return
    if not overwrite:
        other = ", or add --overwrite" if overwrite is not None else ""
        raise UserError(f"{out} exists and is not empty; name another --out{other}")
    if not any(name.startswith(_OURS) for name in names):
        raise UserError(f"{out} is not a store, so --overwrite does not delete it")


def is_in_place(out: str) -> bool:
    """True where a run with --resume was killed when its store was there, and nothing but the
    folder of the run was left to remove."""
    if is_remote(out):
        record = read_record(join(out, WORK))
        return record is not None and "done" in record
    partial = _partial(Path(out))
    return ((partial / RECORD).is_file() and not (partial / "store").exists()
            and Path(out, "manifest.json").is_file())


def _partial(out: Path) -> Path:
    return out.parent / f".{out.name}.partial"


@contextlib.contextmanager
def places_for(
    out: str, work_dir: str | None, tasks_are_elsewhere: bool, keep: bool = False
) -> Iterator[RunFolders]:
    """The folders of a run, which are gone at its end; what a killed one left is removed first.

    Args:
        work_dir: where the user wants intermediate files, in a folder of this run's own.
        tasks_are_elsewhere: whether tasks may run on other machines.
        keep: what a killed run left with this is taken over, and left again if the block fails
            and a task has finished.
    """
    with contextlib.ExitStack() as stack:
        if is_remote(out):
            folder = tempfile.TemporaryDirectory(prefix="reviewmill-")
            home, kept, store = Path(stack.enter_context(folder)), join(out, WORK), out
            stack.enter_context(_folder_at(kept, out, keep))
            # What is kept outlives this machine.
            work = join(kept if tasks_are_elsewhere or keep else str(home), "work")
        else:
            home = stack.enter_context(_partial_folder(Path(out), keep))
            kept, work, store = str(home), str(home / "work"), str(home / "store")
        for folder in (home / "work", home / "driver"):
            folder.mkdir(exist_ok=True)
        if work_dir:
            top = _folder_elsewhere(kept, work_dir, keep)
            work = join(top, "work")
            if is_remote(work_dir) and not is_remote(out):
                store = join(top, "store")
            stack.enter_context(_removed(top, kept, keep))
        local = stack.enter_context(_plain_folder(home / "driver"))
        stack.enter_context(calls_standard_input(local))
        yield RunFolders(home, local, absolute(work), work, absolute(store), out, kept)


def _folder_elsewhere(kept: str, work_dir: str, keep: bool) -> str:
    """A folder of this run in the user's work folder: that of the run which goes on, or a new
    one."""
    if keep and (noted := _elsewhere(kept)):
        return noted
    top = join(work_dir, f"reviewmill-{uuid.uuid4().hex[:12]}")
    if not is_remote(top):
        try:
            Path(top).mkdir(parents=True)
        except OSError as error:
            raise UserError(
                f"--work-dir {work_dir} cannot be written to: {reason(error)}") from None
    if keep and not read_record(kept):
        write_whole(join(kept, _ELSEWHERE), top.encode())
    return top


def _elsewhere(kept: str) -> str | None:
    """The folder elsewhere of the run that has its record here, None where it has none."""
    try:
        return read_whole(join(kept, _ELSEWHERE)).decode()
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _removed(top: str, kept: str, keep: bool) -> Iterator[None]:
    """A folder that is gone after the block, unless the run can go on."""
    try:
        yield
    except BaseException:
        if not (keep and can_go_on(kept)):
            delete(top)
        raise
    delete(top)


def can_go_on(kept: str) -> bool:
    """True where a task of the run that has its record here has finished, or nobody can say."""
    try:
        return (read_record(kept) is not None
                and any_finished(join(_elsewhere(kept) or kept, "work")))
    except UserError:
        return True


def read_record(kept: str) -> dict[str, Any] | None:
    """Record of the run that is kept here, None where there is none."""
    try:
        record: dict[str, Any] = json.loads(read_whole(join(kept, RECORD)))
    except FileNotFoundError:
        return None
    return record


def write_record(kept: str, record: dict[str, Any]) -> None:
    """Write down what a run is made of."""
    write_whole(join(kept, RECORD), json.dumps(record, indent=1).encode())


def is_plain(path: str) -> bool:
    """True for a path that mrjob and the engines take as it is: to them `#`, commas, spaces, quotes
    and wildcards mean something."""
    return re.fullmatch(r"[\w/.+@=~-]+", path) is not None


@contextlib.contextmanager
def _plain_folder(folder: Path) -> Iterator[Path]:
    """The folder where its path is plain, else one for temporary files."""
    if is_plain(str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="reviewmill-") as another:
        yield Path(another)


def plain_name(path: str) -> str:
    """The last part of a path, with _ for every character that may mean something elsewhere."""
    return re.sub(r"[^\w.+@=~-]", "_", Path(path).name)


def plain_copy(file: Path, folder: Path) -> Path:
    """A copy of a user's file in a folder of the run, which mrjob takes under its plain name."""
    copy = folder / f"given-{plain_name(str(file))}"
    shutil.copyfile(file, copy)
    return copy


def clear(places: RunFolders) -> None:
    """Make room for the store where it is written in place; its old manifest goes first.

    A run that goes on has shards of its own there, once it has done this.
    """
    if not is_remote(places.out):
        return
    delete(join(places.out, "manifest.json"))
    names = names_below(places.out)
    if f"{WORK}/{_CLEARED}" in names:
        return
    for name in sorted(names):
        if not name.startswith(WORK + "/"):
            delete(join(places.out, name))
    if places.made_of:
        write_whole(join(places.kept, _CLEARED), b"cleared\n")


def remove_strays(places: RunFolders, manifest_files: set[str]) -> None:
    """Delete what attempts that were killed have left beside the shards."""
    for name in names_below(join(places.store, "shards")):
        if f"shards/{name}" not in manifest_files:
            delete(join(places.store, f"shards/{name}"))


def put_in_place(places: RunFolders) -> None:
    """Give a store its name that is to lie on this machine; an old one goes only now. One at an
    address has it already, which the record of its run says from now on."""
    if is_remote(places.out):
        if record := read_record(places.kept):
            write_record(places.kept, {**record, "done": True})
        return
    out, made = Path(places.out), places.home / "store"
    if is_remote(places.store):
        fetch_folder(places.store, made)
        for name, entry in Store(made).manifest["files"].items():
            if sha256(made / name) != entry["sha256"]:
                raise UserError(f"{join(places.store, name)} came over damaged")
    if out.exists():
        out.rename(places.home / "old")
    made.rename(out)


@contextlib.contextmanager
def _folder_at(kept: str, out: str, keep: bool) -> Iterator[None]:
    """The folder in an unfinished store at an address that is gone after the block; what a killed
    run left in it is removed first, but taken over where that can go on and is to be kept."""
    with held(join(kept, _LOCK), out) if keep else contextlib.nullcontext():
        goes_on = keep and read_record(kept) is not None
        if not goes_on:
            _forget(kept)
        try:
            yield
        except BaseException:
            if not (goes_on or (keep and can_go_on(kept))):
                delete(kept)
            raise
        # Whoever finds the record can rely on it: it is the last to go.
        delete(join(kept, "work"))
    delete(kept)


@contextlib.contextmanager
def _partial_folder(out: Path, keep: bool) -> Iterator[Path]:
    """A folder beside `out` that holds the unfinished store; what a killed run left is removed,
    but taken over where that can go on and is to be kept."""
    lock_path = out.parent / f".{out.name}.lock"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        lock = _locked(lock_path, LOCK_S if keep else 0)
    except OSError as error:
        raise UserError(f"{out.parent} cannot be written to: {reason(error)}") from None
    if lock is None:
        raise UserError(f"another prepare is writing {out}")
    with lock:
        partial = _partial(out)
        if (partial / "old").is_dir() and not out.exists():
            (partial / "old").rename(out)  # killed just before the new one had its name
        goes_on = keep and (partial / RECORD).is_file()
        is_kept = False
        try:
            if not goes_on:
                _forget(str(partial))
                (partial / "store").mkdir(parents=True)
            # The driver's own files are made anew.
            shutil.rmtree(partial / "driver", ignore_errors=True)
            yield partial.resolve()
        except BaseException as error:
            is_kept = goes_on or (keep and can_go_on(str(partial)))
            if isinstance(error, OSError) and disk_is_full(error):
                raise UserError(
                    f"no space left on the disk of {out.parent.resolve()}, where the unfinished "
                    "store and its work folder lie"
                ) from None
            raise
        finally:
            if not is_kept:
                shutil.rmtree(partial, ignore_errors=True)
            lock_path.unlink(missing_ok=True)


def _forget(kept: str) -> None:
    """Remove the folder of a killed run, and its folder elsewhere."""
    if read_record(kept):
        progress(f"removing what an unfinished run with --resume has kept in {kept}")
    if top := _elsewhere(kept):
        try:
            delete(top)
        except UserError as error:
            progress(f"{top} of an unfinished run is left there: {error}")
    if is_remote(kept):
        for name in ("work", _ELSEWHERE, _CLEARED, RECORD):  # the lock stays
            delete(join(kept, name))
    else:
        shutil.rmtree(kept, ignore_errors=True)


def _locked(path: Path, wait_s: float) -> TextIO | None:
    """A lock file, open and locked (but for a disk without locks); None where another process
    has the lock for longer than that."""
    end = time.monotonic() + wait_s
    while True:
        lock = open(path, "w")  # noqa: SIM115 (it stays open)
        try:
            lock_file(lock, wait=False)
            # The process that had it may just have removed it.
            if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                return lock
        except BlockingIOError:
            if time.monotonic() >= end:
                lock.close()
                return None
            time.sleep(0.05)
        except FileNotFoundError:
            pass
        lock.close()
