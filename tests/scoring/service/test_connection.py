"""A connection lives while its calls come: heads that do not come in time close it."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from fastapi import FastAPI

from scoring.service.connection import BEHIND, Connection

PATIENCE_S = 60
QUICK = b"GET /quick HTTP/1.1\r\nHost: a\r\n\r\n"
CALL = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"


class Hasty(Connection):
    """One with little time."""

    head_s = 0.3


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    app = FastAPI()

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(4 * Hasty.head_s)  # a call that takes longer than a head may
        return "done"

    @app.get("/quick")
    async def quick() -> str:
        return "done"

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=Hasty, log_config=None, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    with listening:
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(PATIENCE_S)


@contextlib.contextmanager
def client(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connected:
        yield connected


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nX-A: "], ids=["silent", "half a head"])
def test_it_is_closed_where_no_head_comes(port: int, sent: bytes) -> None:
    with client(port) as connected:
        connected.sendall(sent)
        assert connected.recv(1) == b""


def test_drops_do_not_lengthen_its_time(port: int) -> None:
    with client(port) as connected, pytest.raises(ConnectionError):
        connected.sendall(b"GET / HTTP/1.1\r\n")
        while True:
            connected.sendall(b"X")
            connected.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                assert connected.recv(1) == b""
                raise ConnectionError


def test_calls_may_take_longer_and_the_time_runs_after_each(port: int) -> None:
    with client(port) as connected:
        for _ in range(2):
            connected.sendall(CALL)
            found = b""
            while not found.endswith(b'"done"'):
                more = connected.recv(1000)
                assert more
                found += more
        connected.sendall(b"GET / HT")
        assert connected.recv(1) == b""


def test_requests_behind_one_are_answered_in_turn_and_too_many_of_them_refused(port: int) -> None:
    with client(port) as connected:
        connected.sendall(QUICK * BEHIND)
        found = b""
        while found.count(b'"done"') < BEHIND:
            more = connected.recv(1000)
            assert more
            found += more
    with client(port) as connected:
        connected.sendall(QUICK * (BEHIND + 2))
        assert b" 400 " in connected.recv(1000)
