"""Where files lie: local paths, and s3://, hdfs:// and the like through fsspec."""

import glob
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from reviews.errors import UserError

# What is to be installed for the addresses that start so.
_EXTRAS = {"s3": "aws", "s3a": "aws", "hdfs": "hadoop", "webhdfs": "hadoop"}


def is_remote(path: str) -> bool:
    """Whether a path is an address such as s3://bucket/key."""
    return "://" in path


def absolute(path: str) -> str:
    """The path as a process in another folder has to say it."""
    return path if is_remote(path) else os.path.abspath(path)


def open_input(path: str) -> BinaryIO:
    """The file, open for reading, or a UserError that names it."""
    try:
        if is_remote(path):
            return cast(BinaryIO, _file_system(path).open(path, "rb"))
        return open(path, "rb")
    except OSError as error:
        raise UserError(f"{path}: {_reason(error)}") from None


def size_of(path: str) -> int:
    """Bytes of a file as it lies there."""
    try:
        return int(_file_system(path).size(path)) if is_remote(path) else os.path.getsize(path)
    except OSError as error:
        raise UserError(f"{path}: {_reason(error)}") from None


def save_standard_input(folder: Path) -> str:
    """A file in the folder that holds all of standard input, which can be read once only."""
    path = folder / "standard-input"
    with path.open("xb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
    return str(path)


def find_files(inputs: Sequence[str]) -> list[str]:
    """The files meant by files, folders and globs, those of a folder or glob by name."""
    files: list[str] = []
    for name in inputs:
        found = _find_remote(name) if is_remote(name) else _find_local(name)
        if not found:
            kind = "matches no file" if glob.has_magic(name) else "no such file or folder"
            raise UserError(f"{name}: {kind}")
        files += found
    if not files:
        raise UserError("no input: give files, folders or globs")
    seen: set[str] = set()
    for path in map(absolute, files):
        if path in seen:
            raise UserError(f"{path}: given twice; its reviews would count twice")
        seen.add(path)
    return files


def _find_local(name: str) -> list[str]:
    files = []
    for path in [name] if os.path.lexists(name) else sorted(glob.glob(name, recursive=True)):
        below = _files_below(path) if os.path.isdir(path) else [path]
        if not below:
            raise UserError(f"{path}: a folder without files")
        files += below
    return files


def _files_below(folder: str) -> list[str]:
    """Paths of the files below a folder, without hidden ones and hidden folders'."""
    return sorted(
        str(path)
        for path in Path(folder).rglob("*")
        if path.is_file() and not _is_hidden(str(path.relative_to(folder)))
    )


def _find_remote(name: str) -> list[str]:
    system = _file_system(name)
    files: list[str] = []
    try:
        for path in [name] if system.exists(name) else sorted(system.glob(name)):
            if not system.isdir(path):
                files.append(system.unstrip_protocol(path))
                continue
            folder = system.unstrip_protocol(path).rstrip("/")
            below = sorted(map(system.unstrip_protocol, system.find(path)))
            below = [file for file in below if not _is_hidden(file.removeprefix(folder))]
            if not below:
                raise UserError(f"{folder}: a folder without files")
            files += below
    except OSError as error:
        raise UserError(f"{name}: {_reason(error)}") from None
    return files


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _file_system(path: str) -> Any:
    """The fsspec file system of an address."""
    protocol = path.split("://")[0]
    extra = _EXTRAS.get(protocol)
    try:
        import fsspec

        return fsspec.core.url_to_fs(path)[0]
    except ImportError:
        hint = f"pip install 'reviewmill[{extra}]'" if extra else "install its fsspec package"
        raise UserError(f"{path}: what reads {protocol}:// is not installed; {hint}") from None
    except ValueError:
        raise UserError(f"{path}: nothing is known that reads {protocol}://") from None
    except OSError as error:
        raise UserError(f"{path}: {_reason(error)}") from None


def _reason(error: OSError) -> str:
    return error.strerror or " ".join(str(error).split()) or type(error).__name__
