"""Files and folders to write and read back: local, or at an address that fsspec knows.

Names in other file systems are texts, since a Path would make one slash of two.
"""

import contextlib
import ctypes
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from reviews.errors import UserError
from reviews.storage.files import at_once, file_system, is_hdfs, is_remote, reason
from reviews.storage.input_file import open_input, request_range
from reviews.storage.retries import again, errors_of

T = TypeVar("T")
_BLOCK = 64 << 20  # bytes of one request where a file is written
FETCHES = 16  # files fetched at once


def join(folder: str, name: str) -> str:
    """The address of what is called `name` in a folder."""
    return f"{folder.rstrip('/')}/{name}"


def names_below(folder: str) -> dict[str, int]:
    """The files below a folder, hidden ones too: their names from there on, and their bytes.

    A folder that is not there has none.
    """
    if not is_remote(folder):
        top = Path(folder)
        return {str(p.relative_to(top)): p.stat().st_size for p in top.rglob("*") if p.is_file()}
    return _ask(folder, partial(_list_below, folder=folder))


def _list_below(system: Any, folder: str) -> dict[str, int]:
    start = system._strip_protocol(folder).rstrip("/") + "/"
    try:
        system.info(folder)  # `find` would take what cannot be reached for an empty folder
    except FileNotFoundError:
        return {}
    found = system.find(folder, detail=True)
    return {
        system._strip_protocol(path).removeprefix(start): int(entry["size"])
        for path, entry in found.items()
        if system._strip_protocol(path).startswith(start)
    }


def delete(path: str) -> None:
    """Remove a file, or a folder with all that is below; nothing where there is none."""
    if not is_remote(path):
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            Path(path).unlink(missing_ok=True)
        return

    def remove(system: Any) -> None:
        with contextlib.suppress(FileNotFoundError):
            system.rm(path, recursive=True)

    _ask(path, remove)


def read_whole(path: str) -> bytes:
    """All bytes of a file, or FileNotFoundError where there is none."""
    if not is_remote(path):
        return Path(path).read_bytes()

    def read(system: Any) -> bytes:
        if is_hdfs(path):
            return request_range(path, 0, system.size(path))[0]
        return bytes(system.cat_file(path))

    return _ask(path, read, absent=True)


def fetch(path: str, target: Path) -> None:
    """Copy one file to a local path, whole or not at all."""
    with (atomic_path(target) as temporary, open_input(path, is_there=True) as source,
          temporary.open("wb") as file):
        shutil.copyfileobj(source, file, 4 << 20)


def fetch_folder(folder: str, target: Path) -> None:
    """Copy all files below a folder to a local one, several at once from an address."""
    def copy(path: str) -> None:
        here = target / path.removeprefix(join(folder, ""))
        here.parent.mkdir(parents=True, exist_ok=True)
        fetch(path, here)

    at_once(copy, [join(folder, name) for name in names_below(folder)], FETCHES)


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[Path]:
    """A local file that becomes the file of this name, whole, when the block ends well."""
    if not is_remote(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(Path(path)) as temporary:
            yield temporary
        return
    with tempfile.TemporaryDirectory(prefix="reviewmill-") as folder:
        local = Path(folder, path.rsplit("/", 1)[-1])
        yield local
        put(local, path)


def write_whole(path: str, data: bytes) -> None:
    """Write a file whole or not at all."""
    with whole_file(path) as local:
        local.write_bytes(data)


def put(local: Path, path: str) -> None:
    """Copy a local file to an address; it appears there whole, in place of an earlier one."""
    # An object is there when its last byte is.
    write = _put_hdfs if is_hdfs(path) else lambda system, *_: system.put_file(str(local), path)
    _ask(path, lambda system: write(system, local, path))


def _put_hdfs(system: Any, local: Path, path: str) -> None:
    folder, name = path.rsplit("/", 1)
    temporary = f"{folder}/.{name}.{uuid.uuid4().hex}"
    system.makedirs(folder, exist_ok=True)
    try:
        with (local.open("rb") as source,
              system.open(temporary, "wb", block_size=_BLOCK) as file):
            shutil.copyfileobj(source, file, 4 << 20)
        _replace(system, temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            system.rm(temporary)
        raise


def _replace(system: Any, source: str, target: str) -> None:
    """Rename within hdfs://, over what is there: attempts of one task may write the same name."""
    if "webhdfs" in system.protocol:
        target = system._strip_protocol(target)
        system._call("RENAME", method="put", path=source, destination=target,
                     renameoptions="OVERWRITE")
    else:
        system.mv(source, target)


def _ask(path: str, request: Callable[[Any], T], absent: bool = False) -> T:
    """Answer of the file system of an address to a request, which may be made several times.

    Its complaints become a UserError that names the address; `absent` lets a FileNotFoundError
    through.
    """
    def once() -> T:
        system = file_system(path)
        system.invalidate_cache()  # other machines write there, too
        return request(system)

    try:
        return again(once)
    except errors_of() as error:
        if absent and isinstance(error, FileNotFoundError):
            raise
        raise UserError(f"{path}: {reason(error)}") from None


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` when the block ends well."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:  # which names the temporary one
        raise OSError(error.errno, error.strerror, str(path)) from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Write a local file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def replace_folder(new: Path, target: Path) -> None:
    """Rename a folder to `target`; an earlier one there is removed.

    At every moment one of the two is there under that name, where the system can swap names
    (Linux, most local disks). Elsewhere a kill between two renames leaves the earlier one beside
    it, as .NAME.old.
    """
    if not target.exists():
        new.rename(target)
        return
    if not _swap(new, target):
        old = target.with_name(f".{target.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        new.rename(target)
        new = old
    shutil.rmtree(new, ignore_errors=True)


def _swap(one: Path, other: Path) -> bool:
    """Exchange two names in one step (renameat2(2)); False where the system cannot."""
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def check_plain(name: str, where: str) -> str:
    """The name of a file below a folder, as a manifest gives it.

    Raises UserError, which says where it stands, for one that leads out of the folder.
    """
    parts = name.split("/")
    if {"", ".", ".."} & set(parts) or "\\" in name or "\0" in name:
        raise UserError(f"{where} names the file {name!r}, which is not below its folder")
    return name


def sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
