"""An HTTP proxy in front of a server of this machine, which can spoil some of the requests.

It notes every request, and how many there are at once.
"""

import contextlib
import http.client
import itertools
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from reviews.storage.retries import CUT_SHORT, FAILED, THROTTLED

EVERY = 20  # requests, of which the one with one of these numbers is spoilt: 5 % of each kind
FAULTS: Mapping[int, str] = {4: THROTTLED, 11: FAILED, 17: CUT_SHORT}
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"


class Proxy:
    """Requests that came through, as (method, path with query), and the number spoilt by kind."""

    def __init__(self, upstream: str, faults: Mapping[int, str]) -> None:
        self.upstream, self.faults = upstream, faults
        self.made: list[tuple[str, str]] = []
        self.spoilt: Counter[str] = Counter()
        self.at_once = self.most = 0
        self.address = ""
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def begin(self, method: str, path: str) -> str | None:
        """Note a request; the fault that it is to have."""
        with self._lock:
            self.made.append((method, path))
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            return self.faults.get(next(self._numbers) % EVERY)

    def end(self, fault: str | None) -> None:
        """Note its end."""
        with self._lock:
            self.at_once -= 1
            if fault:
                self.spoilt[fault] += 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: Proxy

    def _forward(self) -> None:
        body = self._body()
        fault = self.proxy.begin(self.command, self.path)
        try:
            if fault == FAILED:  # the connection ends without an answer
                self.close_connection = True
            elif fault == THROTTLED:
                self._answer(503, [], SLOW_DOWN)
            else:
                if self._fetch(body, cut=fault == CUT_SHORT) < 2:
                    fault = None  # there was nothing to cut
        finally:
            self.proxy.end(fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _fetch(self, body: bytes, cut: bool) -> int:
        """The answer of the server behind, or half of it; the bytes of its body."""
        server = http.client.HTTPConnection(self.proxy.upstream)
        headers = {name: value for name, value in self.headers.items()
                   if name.lower() not in ("transfer-encoding", "content-length")}
        with contextlib.closing(server):
            server.request(self.command, self.path, body or None, headers)
            found = server.getresponse()
            data = found.read()
            self._answer(found.status, found.getheaders(), data, cut and len(data) > 1)
        return len(data)

    def _answer(
        self, status: int, headers: list[tuple[str, str]], data: bytes, cut: bool = False
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        if self.command == "HEAD":
            data = b""
        whole = dict(headers).get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", whole or str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection |= cut

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def proxy_of(upstream: str, faults: Mapping[int, str] = FAULTS) -> Iterator[Proxy]:
    """A proxy of the server at HOST:PORT while the block runs, with its own `address`."""
    proxy = Proxy(upstream, faults)
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    server.daemon_threads = True
    proxy.address = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
