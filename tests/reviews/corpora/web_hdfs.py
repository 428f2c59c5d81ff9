"""The reading half of HDFS's web interface, over a dictionary of files."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


@contextlib.contextmanager
def web_hdfs(files: dict[str, bytes]) -> Iterator[str]:
    """Serve files by absolute path while the block runs; yields the server's HOST:PORT."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # a body need not wait for the header's acknowledgement

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            path = unquote(url.path).removeprefix("/webhdfs/v1").rstrip("/")
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            below = path + "/"
            if query["op"] == "GETFILESTATUS" and path in files:
                self._answer({"FileStatus": _status("", files[path])})
            elif query["op"] == "GETFILESTATUS" and any(name.startswith(below) for name in files):
                self._answer({"FileStatus": {"type": "DIRECTORY", "length": 0, "pathSuffix": ""}})
            elif query["op"] == "LISTSTATUS":
                self._answer({"FileStatuses": {"FileStatus": [
                    _status(name.removeprefix(below), data)
                    for name, data in files.items() if name.startswith(below)
                ]}})
            elif query["op"] == "OPEN" and path in files:
                first = int(query.get("offset", 0))
                last = first + int(query.get("length", len(files[path])))
                self._send(200, files[path][first:last])
            else:
                self._answer({"RemoteException": {
                    "exception": "FileNotFoundException", "message": f"no {path}"}}, 404)

        def _answer(self, value: object, status: int = 200) -> None:
            self._send(status, json.dumps(value).encode())

        def _send(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _status(name: str, data: bytes) -> dict[str, object]:
    return {"type": "FILE", "length": len(data), "pathSuffix": name}
