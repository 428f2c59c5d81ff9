"""Requests to other machines that are made again: those that failed, were throttled or ended early.

Waits double from one attempt to the next, with a random part, so that many tasks that were turned
away together do not come back together.
"""

import errno
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
ATTEMPTS = 8
FIRST_S, LONGEST_S = 0.1, 10.0  # of a wait, without its random part
THROTTLED, FAILED, CUT_SHORT = "throttled", "failed", "cut short"

# By name: the packages that define them may not be installed, and none is loaded for this.
_CUT_SHORT = {
    "ChunkedEncodingError", "ClientPayloadError", "IncompleteRead", "IncompleteReadError",
    "InvalidChunkLength", "ResponseParserError", "ResponseStreamingError",
}  # fmt: skip
_FAILED = {
    "ClientOSError", "ConnectTimeout", "ConnectTimeoutError", "ConnectionClosedError",
    "ConnectionResetError", "FSTimeoutError", "HTTPClientError", "ProtocolError",
    "ReadTimeout", "ReadTimeoutError", "RemoteDisconnected", "ServerDisconnectedError",
    "ServerTimeoutError", "TimeoutError",
}  # fmt: skip
_THROTTLING = {"SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException",
               "RequestLimitExceeded", "TooManyRequestsException"}
_ERRORS = {
    "botocore.exceptions": ("BotoCoreError", "ClientError"), "aiohttp": ("ClientError",),
    "urllib3.exceptions": ("HTTPError",), "http.client": ("HTTPException",),
}  # fmt: skip
_NUMBERS = {errno.EBUSY: THROTTLED, errno.EREMOTEIO: FAILED, errno.ECONNRESET: FAILED,
            errno.EPIPE: FAILED, errno.ETIMEDOUT: FAILED}
# Nothing answers at the address: that is said at once.
_NOT_THERE = {"ConnectionRefusedError", "NewConnectionError", "NameResolutionError", "gaierror",
              "ClientConnectorError", "ClientConnectorDNSError", "EndpointConnectionError"}


class Unanswered(OSError):
    """An answer with another status than that of success."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the server answered with status {status}")
        self.status = status


class Retries:
    """Numbers of requests that were made again, by what had happened to them; a fork begins
    with none."""

    def __init__(self) -> None:
        self.clear()
        os.register_at_fork(after_in_child=self.clear)

    def clear(self) -> None:
        """Forget all of them."""
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, kind: str) -> None:
        """One more."""
        with self._lock:
            self._counts[kind] += 1

    def take(self) -> dict[str, int]:
        """The numbers since the last call."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        return dict(counts)


RETRIES = Retries()  # of this process


def again(request: Callable[[], T], attempts: int = ATTEMPTS, first_s: float = FIRST_S) -> T:
    """The result of a request, which is made up to so many times.

    It has to be one that may be made twice. Errors that another attempt would not mend, and that
    of the last attempt, are raised.
    """
    for attempt in range(attempts - 1):
        try:
            return request()
        except errors_of() as error:
            if (kind := kind_of(error)) is None:
                raise
            RETRIES.add(kind)
        time.sleep(min(LONGEST_S, first_s * 2**attempt) * random.uniform(0.5, 1))
    return request()


def kind_of(error: BaseException) -> str | None:
    """THROTTLED, FAILED or CUT_SHORT where another attempt may mend it, else None."""
    found = list(_chain(error))
    names = {kind.__name__ for one in found for kind in type(one).__mro__}
    if names & _NOT_THERE:
        return None
    for one in found:
        if kind := of_status(_status(one), _code(one)):
            return kind
    if names & _CUT_SHORT:
        return CUT_SHORT
    if names & _FAILED:
        return FAILED
    number = getattr(error, "errno", None)
    return _NUMBERS.get(number) if number is not None else None


def errors_of() -> tuple[type[Exception], ...]:
    """Exceptions of opening, listing, reading and writing files; WebHDFS says much as a
    RuntimeError. Those of packages that are not loaded cannot occur."""
    found: list[type[Exception]] = [OSError, RuntimeError]
    for module, names in _ERRORS.items():
        if module in sys.modules:
            found += [getattr(sys.modules[module], name) for name in names]
    return tuple(found)


def of_status(status: int | None, code: str = "") -> str | None:
    """The same of an answer's HTTP status, or the error code in it."""
    if status in (429, 503) or code in _THROTTLING:
        return THROTTLED
    return FAILED if status in (408, 500, 502, 504) or code == "RequestTimeout" else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it was made from; libraries hand them on as arguments, too."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        more = (one.__cause__, getattr(one, "reason", None), *one.args)
        waiting += [other for other in more if isinstance(other, BaseException)]


def _status(error: BaseException) -> int | None:
    """The HTTP status of our own, of requests' and of botocore's errors."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(response, "status_code", getattr(error, "status", None))
    return status if isinstance(status, int) else None


def _code(error: BaseException) -> str:
    response: Any = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
