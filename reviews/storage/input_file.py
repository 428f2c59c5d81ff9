"""Files opened for reading: local ones, and those at addresses, by requests for ranges of bytes."""

import io
import os
import threading
from functools import partial
from typing import Any, BinaryIO, cast

from reviews.errors import UserError
from reviews.storage.files import file_system, is_hdfs, is_remote, reason
from reviews.storage.retries import Unanswered, again, errors_of, of_status

REQUEST = 8 << 20  # bytes of one request where a file is read from front to back
_CONNECTIONS = 64  # kept open to one server
_CONNECT_S, _READ_S = 10.0, 60.0  # without a sign of life
_LOCK = threading.Lock()
_pools: dict[int, Any] = {}  # by process: a fork cannot use the connections of its parent
_unsigned: set[str] = set()  # buckets that do not answer signed addresses


def open_input(path: str, request: int = REQUEST, is_there: bool = False) -> BinaryIO:
    """The file, open for reading, or a UserError that names it.

    Args:
        request: bytes of each request where the file is at an address.
        is_there: nothing is asked for before it is read; then a missing file is found out.
    """
    if not is_remote(path):
        try:
            return open(path, "rb")
        except OSError as error:
            raise UserError(f"{path}: {reason(error)}") from None
    file = RemoteFile(path, request)
    if not is_there or is_hdfs(path):  # a name node refuses to open what lies behind the end
        file.size()
    return cast(BinaryIO, io.BufferedReader(file))


def size_of(path: str) -> int:
    """Bytes of a file as it lies there."""
    try:
        if not is_remote(path):
            return os.path.getsize(path)
        return int(again(lambda: file_system(path).size(path)))
    except errors_of() as error:
        raise UserError(f"{path}: {reason(error)}") from None


def read_range(path: str, offset: int, length: int) -> bytes:
    """Some bytes of a file; at its end there may be fewer."""
    if is_remote(path):
        return ask_range(path, offset, offset + length)[0]
    # Parcels are many and small, and a buffered file takes several times as long to open.
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            data = os.pread(file, length, offset)
            # One call reads 2 GiB at most.
            while len(data) < length and (
                    more := os.pread(file, length - len(data), offset + len(data))):
                data += more
            return data
        finally:
            os.close(file)
    except OSError as error:
        raise UserError(f"{path}: {reason(error)}") from None


class RemoteFile(io.RawIOBase):
    """A file at an address; a request fetches the bytes from where it is read on."""

    def __init__(self, path: str, request: int = REQUEST) -> None:
        super().__init__()
        self._path, self._request = path, request
        self._at = self._first = 0
        self._block = b""  # bytes from _first on
        self._size: int | None = None

    def size(self) -> int:
        """Bytes of the file; asked for where no answer has said it yet."""
        if self._size is None:
            self._size = size_of(self._path)
        return self._size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at}
        self._at = offset + (self.size() if whence == io.SEEK_END else start[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the present block reaches; 0 at the end of the file."""
        if self._at == self._size:
            return 0
        behind = self._at - self._first
        if not 0 <= behind < len(self._block):
            self._fetch(max(self._request, len(buffer)))
            behind = 0
        part = memoryview(self._block)[behind : behind + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def _fetch(self, wanted: int) -> None:
        end = self._at + wanted
        if self._size is not None:
            end = min(end, self._size)
        self._block, size = ask_range(self._path, self._at, end)
        self._first = self._at
        self._size = self._size if size is None else size


def ask_range(path: str, start: int, end: int) -> tuple[bytes, int | None]:
    """Bytes [start, end) of a file at an address, fewer at its end; its size if that is known now.

    Raises a UserError that names the file.
    """
    try:
        return again(partial(request_range, path, start, end))
    except errors_of() as error:
        raise UserError(f"{path}: {reason(error)}") from None


def request_range(path: str, start: int, end: int) -> tuple[bytes, int | None]:
    """The same, asked for once; raises what the file system does."""
    if start >= end:
        return b"", None
    system = file_system(path)
    protocols = (system.protocol,) if isinstance(system.protocol, str) else system.protocol
    if "s3" in protocols:
        return _ask_s3(system, path, start, end)
    if "webhdfs" in protocols:
        return _ask_web_hdfs(system, path, start, end)
    return bytes(system.cat_file(path, start=start, end=end)), None


def _ask_s3(system: Any, path: str, start: int, end: int) -> tuple[bytes, int | None]:
    """One GET of a signed address: botocore's own takes several times as much time of a core."""
    bucket = path.split("/")[2]
    if bucket in _unsigned:
        return bytes(system.cat_file(path, start=start, end=end)), None
    headers = {"Range": f"bytes={start}-{end - 1}"}
    answer = _pool().request("GET", system.url(path), headers=headers, redirect=False,
                             retries=False)
    if answer.status == 206:
        return answer.data, int(answer.headers["Content-Range"].rpartition("/")[2])
    if answer.status == 416 and start == 0:  # an empty object has no range
        return b"", 0
    if of_status(answer.status):
        raise Unanswered(answer.status)
    # A bucket of another region, a key that is not there: s3fs finds the way, or the words for it.
    data = bytes(system.cat_file(path, start=start, end=end))
    _unsigned.add(bucket)
    return data, None


def _ask_web_hdfs(system: Any, path: str, start: int, end: int) -> tuple[bytes, int | None]:
    """The name node says where the bytes are; of another answer there, fsspec would make bytes."""
    answer = system._call("OPEN", path=path, offset=start, length=end - start, redirect=False)
    if "Location" in answer.headers:
        answer = system.session.get(system._apply_proxy(answer.headers["Location"]),
                                    timeout=(_CONNECT_S, _READ_S))
    if answer.status_code != 200:
        raise Unanswered(answer.status_code)
    return answer.content, None


def _pool() -> Any:
    """The connections of this process."""
    import urllib3

    with _LOCK:
        if os.getpid() not in _pools:
            _pools.clear()
            _pools[os.getpid()] = urllib3.PoolManager(
                maxsize=_CONNECTIONS, timeout=urllib3.Timeout(connect=_CONNECT_S, read=_READ_S))
        return _pools[os.getpid()]
