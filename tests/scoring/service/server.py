"""A real server in a process of its own, and what speaks to it."""

import fcntl
import http.client
import json
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Server:
    """A server that listens."""

    process: subprocess.Popen[str]
    address: str

    @property
    def port(self) -> int:
        return int(self.address.rsplit(":", 1)[1].strip("/"))

    def request(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (names in lower case) and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        connection.close()
        return found

    def post(self, value: Any, path: str = "/v1/score", **headers: str) -> tuple[int, Any]:
        """Status and JSON of the answer to a JSON body; bytes are sent as they are."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        status, _, answer = self.request(
            "POST", path, body, **{"Content_Type": "application/json", **headers})
        return status, json.loads(answer)

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of the answer."""
        status, _, answer = self.request("GET", path)
        return status, json.loads(answer)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def serving(
    model: Path, *options: str, session: bool = False, terminal: int | None = None,
    errors: int | None = None, **environment: str,
) -> Iterator[Server]:
    """`reviewmill serve`, until the block ends.

    session: it leads a session of its own, without a terminal, or with that of a descriptor.
    errors: where standard error goes, as for Popen.
    """
    line = [sys.executable, "-m", "reviewmill", "serve", str(model), "--port", "0", *options]

    def take_terminal() -> None:
        assert terminal is not None
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT,
        env={**os.environ, **environment}, start_new_session=session or terminal is not None,
        preexec_fn=None if terminal is None else take_terminal)
    assert process.stdout
    with process.stdout:
        try:
            yield Server(process, process.stdout.readline().strip())
        finally:
            process.kill()
            process.wait()
