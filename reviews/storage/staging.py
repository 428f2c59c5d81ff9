"""Local copies of the files of a store that lies elsewhere, verified when they come."""

import os
from pathlib import Path

from reviews.errors import UserError
from reviews.runtime.file_locks import lock_file
from reviews.storage.folders import atomic_path, fetch, join, sha256


def cache_folder(fingerprint: str) -> Path:
    """Cache folder of the files of a store: below $REVIEWMILL_CACHE, else ~/.cache/reviewmill."""
    return cache_top() / "stores" / fingerprint[:32]


def cache_top() -> Path:
    """$REVIEWMILL_CACHE, else ~/.cache/reviewmill."""
    return Path(os.environ.get("REVIEWMILL_CACHE") or Path.home() / ".cache" / "reviewmill")


def staged_file(store: str, name: str, digest: str, folder: Path) -> Path:
    """The local copy of a file of a store, fetched by the first process that asks for it."""
    path = folder / name
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "w") as lock:
        lock_file(lock)
        if not path.is_file():
            with atomic_path(path) as temporary:
                fetch(join(store, name), temporary)
                if sha256(temporary) != digest:
                    raise UserError(f"{join(store, name)} is damaged: "
                                    "its sha256 is not the manifest's")
    return path
