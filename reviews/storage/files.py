"""Paths of files: local ones, and s3://, hdfs:// and the like through fsspec."""

import contextlib
import getpass
import glob
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from xml.etree import ElementTree

from reviews.errors import UserError
from reviews.storage.kinds import folder_kind
from reviews.storage.retries import RETRIES, again, errors_of, kind_of, of_status

T = TypeVar("T")
_SAVED = "standard-input"  # name of a file that holds standard input
REQUESTS = 32  # at once, of one process
_HDFS = ("hdfs://", "webhdfs://")
_LONGEST_REASON = 200  # characters of another library's message
_S3 = ("s3", "s3a")
_S3_ATTEMPTS = 5  # of botocore, at each of the requests of a listing or an upload
# What is to be installed for the addresses that start so.
_EXTRAS = {"s3": "aws", "s3a": "aws", "hdfs": "hadoop", "webhdfs": "hadoop"}


def is_remote(path: str) -> bool:
    """True when a path is an address such as s3://bucket/key."""
    return "://" in path


def is_hdfs(path: str) -> bool:
    """True when a path is an address in HDFS."""
    return path.startswith(_HDFS)


def absolute(path: str) -> str:
    """The path as a process in another folder, or on another machine, has to say it.

    An hdfs:// address of Hadoop's own configuration becomes that of its web server, so that
    nodes need no configuration.
    """
    if not is_remote(path):
        return os.path.abspath(path)
    if path.startswith("hdfs://") and (web := name_node_of(os.environ)):
        below = path.removeprefix("hdfs://").partition("/")[2]
        return f"webhdfs://{getpass.getuser()}@{web}/{below}"
    return path


def with_standard_input(inputs: Sequence[str], folder: Path) -> list[str]:
    """The inputs with a file in the folder, which holds all of standard input, in place of `-`:
    it can be read once only."""
    path = folder / _SAVED
    if "-" in inputs:
        with path.open("xb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
    return [str(path) if name == "-" else name for name in inputs]


@contextlib.contextmanager
def calls_standard_input(folder: Path) -> Iterator[None]:
    """A block whose messages call standard input, saved in the folder, by its name: `-`."""
    try:
        yield
    except UserError as error:
        raise type(error)(str(error).replace(str(folder / _SAVED), "-")) from None


def find_files(inputs: Sequence[str]) -> list[str]:
    """The files meant by files, folders and globs, those of a folder or glob by name."""
    files: list[str] = []
    for name, found in zip(inputs, at_once(_find, inputs), strict=True):
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


def at_once(
    function: Callable[[str], T], paths: Sequence[str], most: int = REQUESTS
) -> list[T]:
    """Results of a function for each path, in their order; addresses are asked for many at once,
    since most of a request is waiting."""
    if not any(map(is_remote, paths)):
        return list(map(function, paths))
    with ThreadPoolExecutor(min(most, len(paths))) as pool:
        return list(pool.map(function, paths))


def _find(name: str) -> list[str]:
    return _find_remote(name) if is_remote(name) else _find_local(name)


def _find_local(name: str) -> list[str]:
    files = []
    for path in [name] if os.path.lexists(name) else sorted(glob.glob(name, recursive=True)):
        if kind := folder_kind(path):
            raise UserError(f"{path} is {kind}: give files of reviews")
        below = _files_below(path) if os.path.isdir(path) else [path]
        if not below:
            raise UserError(f"{path}: a folder without files")
        files += below
    for path in files:
        if not _is_utf8(path):
            raise UserError(f"{path!a}: names of files have to be UTF-8")
        if Path(path).is_fifo():
            raise UserError(f"{path}: a pipe, which can be read once; `-` is standard input")
    return files


def _is_utf8(name: str) -> bool:
    """True when all bytes of a name were characters; Python keeps others as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _files_below(folder: str) -> list[str]:
    """Paths of the files below a folder, also behind links, without those that `is_left_out`.

    A UserError names what would be lost: folders that cannot be read, links to nothing, and
    links to a folder that is read anyhow.
    """
    files: list[str] = []
    seen: set[str] = set()
    try:
        for at, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
            if (real := os.path.realpath(at)) in seen:
                raise UserError(f"{at}: a link to a folder that is read already")
            seen.add(real)
            folders[:] = [name for name in folders if not is_left_out(name)]
            paths = [os.path.join(at, name) for name in names if not is_left_out(name)]
            files += [path for path in paths if not stat.S_ISSOCK(os.stat(path).st_mode)]
    except OSError as error:
        _refuse(error)
    return sorted(files)


def _refuse(error: OSError) -> NoReturn:
    raise UserError(f"{error.filename}: {reason(error)}") from None


def _find_remote(name: str) -> list[str]:
    try:
        return again(partial(_find_below, file_system(name), name))
    except FileNotFoundError:
        return []
    except errors_of() as error:
        raise UserError(f"{name}: {reason(error)}") from None


def _find_below(system: Any, name: str) -> list[str]:
    files: list[str] = []
    found = [name]
    if glob.has_magic(name) and not _is_there(system, name):
        found = sorted(system.glob(name))
    for path in found:
        # `exists` would take a name node that is not there for a missing file.
        if system.info(path)["type"] != "directory":
            files.append(_address(system, name, path))
            continue
        folder = _address(system, name, path).rstrip("/")
        below = sorted(_address(system, name, file) for file in system.find(path))
        below = [file for file in below if not is_left_out(file.removeprefix(folder))]
        if not below:
            raise UserError(f"{folder}: a folder without files")
        files += below
    return files


def _is_there(system: Any, name: str) -> bool:
    """True where an address with wildcards is that of a file or folder."""
    try:
        system.info(name)
    except FileNotFoundError:
        return False
    return True


def _address(system: Any, name: str, path: str) -> str:
    """The address of what a file system calls `path`; `name` was asked for."""
    if not name.startswith(_HDFS):
        return str(system.unstrip_protocol(path))
    protocol, rest = name.split("://")
    return f"{protocol}://{rest.split('/')[0]}{system._strip_protocol(path)}"


def is_left_out(path: str) -> bool:
    """True for a path below a folder that holds no input: hidden files, the marks of Hadoop and
    Spark (_SUCCESS, _committed_...), macOS's __MACOSX, and folders themselves."""
    return path.endswith("/") or any(
        part.startswith((".", "_")) and part not in (".", "..") for part in path.split("/"))


def file_system(path: str) -> Any:
    """The fsspec file system of an address."""
    protocol, _, rest = path.partition("://")
    user, at, _ = rest.partition("/")[0].rpartition("@")
    if at and ":" in user:
        raise UserError(f"an address with a password ({protocol}://{user.partition(':')[0]}:...) "
                        "would be written to files: give it by the environment")
    extra = _EXTRAS.get(protocol)
    try:
        import fsspec

        if protocol == "hdfs" and (web := name_node_of(os.environ)):
            host, port = web.split(":")
            return fsspec.filesystem("webhdfs", host=host, port=int(port), user=getpass.getuser())
        if protocol in _S3:
            return _s3(path, protocol)
        return fsspec.core.url_to_fs(path)[0]
    except ImportError:
        hint = f"pip install 'reviewmill[{extra}]'" if extra else "install its fsspec package"
        raise UserError(f"{path}: what reads {protocol}:// is not installed; {hint}") from None
    except ValueError:
        raise UserError(f"{path}: nothing is known that reads {protocol}://") from None
    except errors_of() as error:
        raise UserError(f"{path}: {reason(error)}") from None


def _s3(path: str, protocol: str) -> Any:
    """s3fs, of which botocore alone makes requests again, so that each is counted once."""
    import fsspec

    wanted = {"retries": {"mode": "standard", "total_max_attempts": _S3_ATTEMPTS},
              "signature_version": "s3v4", "max_pool_connections": REQUESTS}
    given = fsspec.config.conf.get(protocol, {}).get("config_kwargs", {})
    system = fsspec.core.url_to_fs(path, config_kwargs={**wanted, **given})[0]
    if system.retries > 1:
        system.retries = 1
        system.s3.meta.events.register(
            "needs-retry.s3", _count_retry, unique_id="reviewmill-retries")
    return system


def _count_retry(
    response: Any = None, attempts: int = 1, caught_exception: Exception | None = None,
    **_: object,
) -> None:
    """Count an attempt that botocore makes again; it is asked for no opinion of its own."""
    kind = kind_of(caught_exception) if caught_exception else of_status(
        response[0].status_code if response else None)
    if kind and attempts < _S3_ATTEMPTS:
        RETRIES.add(kind)


def name_node_of(environment: Mapping[str, str]) -> str | None:
    """host:port of the name node's web address, as Hadoop's own configuration has it.

    Reading hdfs:// through it needs none of Hadoop's native libraries.
    """
    return hadoop_setting(environment, "hdfs-site.xml", "dfs.namenode.http-address")


def hadoop_setting(environment: Mapping[str, str], site: str, name: str) -> str | None:
    """A property of a file of Hadoop's configuration, None where it is not set."""
    home = environment.get("HADOOP_HOME")
    folder = environment.get("HADOOP_CONF_DIR") or (home and f"{home}/etc/hadoop")
    file = Path(folder or "", site)
    if not folder or not file.is_file():
        return None
    for entry in ElementTree.parse(file).iter("property"):
        if entry.findtext("name") == name:
            return entry.findtext("value")
    return None


def reason(error: Exception) -> str:
    """One line of bearable length."""
    text = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + "..."
