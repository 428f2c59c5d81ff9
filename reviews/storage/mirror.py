"""Copy of a run folder at an address (s3://, hdfs://): written here, put there whole."""

import hashlib
import os
import shutil
from pathlib import Path

from reviews.run_folder import CHECKPOINTS, LOCK, MODEL, SUMMARY
from reviews.storage.files import is_remote
from reviews.storage.folders import delete, fetch, join, names_below, put
from reviews.storage.staging import cache_top

STATE, MANIFEST = "state.json", "manifest.json"  # of a checkpoint and a bundle: what makes it whole


def local_folder(out: str) -> Path:
    """Folder on this machine's disk in which a run with this --out is written."""
    if not is_remote(out):
        return Path(out)
    return cache_top() / "runs" / hashlib.sha256(out.encode()).hexdigest()[:32]


class RunMirror:
    """A run folder at an address, and its copy on this disk.

    A file appears there whole. What makes a checkpoint or a bundle whole comes after its other
    files, the summary last of all; so whoever reads finds a run as it once was, or one that goes
    back to the checkpoint before.
    """

    def __init__(self, address: str) -> None:
        self._address, self._folder = address, local_folder(address)
        self._there: dict[str, tuple[int, int] | None] = {}  # bytes and time of what was put

    def fetch(self, resume: bool) -> None:
        """Empty the folder here, and fill it, for a resume, with what is at the address: of the
        checkpoints the newest whole one."""
        for path in self._folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif not path.name.startswith(LOCK):
                path.unlink()
        names = names_below(self._address)
        self._there = dict.fromkeys(names)
        if not resume:
            return
        whole = max((name.rpartition("/")[0] for name in names
                     if name.startswith(f"{CHECKPOINTS}/") and name.endswith(f"/{STATE}")),
                    default="")
        for name in names:
            if name.startswith(f"{CHECKPOINTS}/") and name.rpartition("/")[0] != whole:
                continue
            target = self._folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            fetch(join(self._address, name), target)
            self._there[name] = _stamp(target)

    def put(self) -> None:
        """Bring the address up to date. Raises UserError where it cannot be written."""
        here = {name: stamp for name in names_below(str(self._folder))
                if not any(part.startswith(".") for part in name.split("/"))
                and (stamp := _stamp(self._folder / name)) is not None}
        changed = [name for name, stamp in here.items() if self._there.get(name) != stamp]
        # A bundle is none while its files change.
        if any(name.startswith(f"{MODEL}/") for name in changed):
            self._delete([f"{MODEL}/{MANIFEST}"])
            changed = sorted({*changed, *({f"{MODEL}/{MANIFEST}"} & here.keys())})
        for name in sorted(changed, key=_order):
            put(self._folder / name, join(self._address, name))
            self._there[name] = here[name]
        self._delete(sorted(self._there.keys() - here.keys(), key=_order, reverse=True))

    def _delete(self, names: list[str]) -> None:
        for name in names:
            if name in self._there:
                delete(join(self._address, name))
                del self._there[name]


def _stamp(path: Path) -> tuple[int, int] | None:
    """Bytes and time of a file; None where it has just been removed."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


def _order(name: str) -> tuple[int, str, bool, str]:
    """Key by which files are put: the model before the checkpoint that counts on it."""
    kinds = {MODEL: 1, CHECKPOINTS: 2, SUMMARY: 3}
    folder, _, file = name.rpartition("/")
    return kinds.get(name.split("/")[0], 0), folder, file in (STATE, MANIFEST), file
