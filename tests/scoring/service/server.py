"""A real server in a process of its own, and what speaks to it."""

import http.client
import json
import os
import signal
import subprocess
import sys
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

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def serving(model: Path, *options: str, **environment: str) -> Iterator[Server]:
    """`reviewmill serve`, until the block ends."""
    line = [sys.executable, "-m", "reviewmill", "serve", str(model), "--port", "0", *options]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=ROOT,
                               env={**os.environ, **environment})
    assert process.stdout
    with process.stdout:
        try:
            yield Server(process, process.stdout.readline().strip())
        finally:
            process.kill()
            process.wait()
