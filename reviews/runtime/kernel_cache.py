"""Place of compiled kernels where neither the package nor the user's home can be written.

numba keeps compiled code beside its source, else below the user's home, and refuses to compile
anything where it can do neither: a package that somebody else installed, a user without a home.
"""

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def ensure_kernel_cache() -> None:
    """Name a temporary folder of this user's to numba, in NUMBA_CACHE_DIR, where it needs one."""
    if "NUMBA_CACHE_DIR" in os.environ or _can_write(PACKAGE / "__pycache__"):
        return
    if not _can_write(_home()):
        os.environ["NUMBA_CACHE_DIR"] = _own_folder(Path(tempfile.gettempdir()))


def kernel_folders(source: Path) -> list[Path]:
    """Folders for the machine code of a module's kernels, where numba would put its own: the first
    one that can be written to takes it."""
    own, apart = source.parent / "__pycache__", hashlib.sha256(bytes(source.parent)).hexdigest()
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return [Path(named, f"reviewmill-{apart[:16]}"), own]
    return [own, _home() / f"reviewmill-{apart[:16]}"]


def _home() -> Path:
    """The folder for what programs of this user keep."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user that the system does not know
        return Path(os.devnull)


def _can_write(folder: Path) -> bool:
    """True where the folder, or the nearest one above it, can be written to."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _own_folder(top: Path) -> str:
    """A folder that nobody else can write to, since code is loaded from it: the same one for all
    processes of this user, or a new one where its name is taken by somebody else."""
    folder = top / f"reviewmill-kernels-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    state = folder.lstat()
    if stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid() and not state.st_mode & 0o022:
        return str(folder)
    return tempfile.mkdtemp(prefix="reviewmill-kernels-")
