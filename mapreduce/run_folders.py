"""Folders of one run, and the renaming of a finished store.

A store on this machine is made in a folder beside it, which is renamed when all is done. At an
address, where nothing can be renamed at once, its files are written in place: without the
manifest, which comes last, they are no store. Tasks of a cluster that cannot see the store's
folder make it in the work folder, from where it is fetched and verified.
"""

import contextlib
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reviews.errors import UserError, disk_is_full
from reviews.runtime.file_locks import lock_file
from reviews.storage.files import absolute, is_remote, reason
from reviews.storage.folders import delete, fetch_folder, join, names_below, sha256
from reviews.store import Store

# The folder of intermediate files in an unfinished store at an address.
WORK = ".work"
_OURS = ("manifest.json", "shards/", WORK + "/")


@dataclass(frozen=True)
class RunFolders:
    """The folders of one run."""

    home: Path  # holds all that the run keeps on this machine
    local: Path  # what the driver writes for itself and for mrjob
    work: str  # parcels of the tasks; a process on any node can name it so
    shared: str  # the same folder as an engine's own configuration names it
    store: str  # what the tasks make; on any node, too
    out: str  # what the user called the store

    def work_bytes(self) -> int:
        """Bytes of all intermediate files; none is deleted before the end."""
        folders = {self.work, str(self.local)}
        return sum(sum(names_below(folder).values()) for folder in folders)


def refuse_unless_free(out: str, overwrite: bool) -> None:
    """Raise UserError where something lies under the name of the store that may not go."""
    if not is_remote(out) and Path(out).exists() and not Path(out).is_dir():
        raise UserError(f"{out} is not a folder")
    names = names_below(out)
    if not names and (is_remote(out) or not Path(out).is_dir() or not any(Path(out).iterdir())):
        return
    if not overwrite:
        raise UserError(f"{out} exists and is not empty; name another --out, or add --overwrite")
    if not any(name.startswith(_OURS) for name in names):
        raise UserError(f"{out} is not a store, so --overwrite does not delete it")


@contextlib.contextmanager
def places_for(out: str, work_dir: str | None, tasks_are_elsewhere: bool) -> Iterator[RunFolders]:
    """The folders of a run, which are gone at its end; what a killed one left is removed first.

    Args:
        work_dir: where the user wants intermediate files, in a folder of this run's own.
        tasks_are_elsewhere: whether tasks may run on other machines.
    """
    with contextlib.ExitStack() as stack:
        if is_remote(out):
            folder = tempfile.TemporaryDirectory(prefix="reviewmill-")
            home = Path(stack.enter_context(folder))
            work = join(out, WORK) if tasks_are_elsewhere else str(home / "work")
            store = out
        else:
            home = stack.enter_context(_partial_folder(Path(out)))
            work, store = str(home / "work"), str(home / "store")
        (home / "work").mkdir()
        if work_dir:
            top = join(work_dir, f"reviewmill-{uuid.uuid4().hex[:12]}")
            work = join(top, "work")
            if is_remote(work_dir) and not is_remote(out):
                store = join(top, "store")
            stack.callback(delete, top)
        elif is_remote(work):
            delete(work)
            stack.callback(delete, work)
        local = stack.enter_context(_plain_folder(home / "work"))
        yield RunFolders(home, local, absolute(work), work, absolute(store), out)


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
    """Make room for the store where it is written in place; its old manifest goes first."""
    if is_remote(places.out):
        delete(join(places.out, "manifest.json"))
        for name in sorted(names_below(places.out)):
            if not name.startswith(WORK + "/"):
                delete(join(places.out, name))


def remove_strays(places: RunFolders, manifest_files: set[str]) -> None:
    """Delete what attempts that were killed have left beside the shards."""
    for name in names_below(join(places.store, "shards")):
        if f"shards/{name}" not in manifest_files:
            delete(join(places.store, f"shards/{name}"))


def put_in_place(places: RunFolders) -> None:
    """Give a store its name that is to lie on this machine; an old one goes only now."""
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
def _partial_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that holds the unfinished store; what a killed run left is removed."""
    lock_path = out.parent / f".{out.name}.lock"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        lock = open(lock_path, "w")  # noqa: SIM115 (the errors of opening it are the user's)
    except OSError as error:
        raise UserError(f"{out.parent} cannot be written to: {reason(error)}") from None
    with lock:
        try:
            lock_file(lock, wait=False)
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
