"""Calls that a connection answers itself get what the application answers, in turn."""

import asyncio
import contextlib
import http.client
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from scoring.encode import EncodedTexts
from scoring.service.app import Guard
from scoring.service.calls import json_response
from scoring.service.direct import DirectConnection, connections_of
from scoring.service.served_model import Asked
from tests.scoring.service.server import Server

PATIENCE_S = 60
HEAD = b"POST /v1/score HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
CALL = b'{"texts": ["good tea", "", "bad cup"]}'
FAILS = b'{"text": "fails"}'


def call(body: bytes, more: bytes = b"") -> bytes:
    return HEAD + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


def read(answers: BinaryIO) -> tuple[int, dict[str, str], bytes]:
    """Status, headers without the date, and body of the next answer."""
    status = int(answers.readline().split()[1])
    headers = dict(http.client.parse_headers(answers))
    del headers["date"]
    return status, headers, answers.read(int(headers["content-length"]))


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def whole(port: int, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """The answer to bytes that come at once."""
    with connect(port) as client:
        client.sendall(sent)
        return read(client.makefile("rb"))


def in_pieces(port: int, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """The answer to the same where the body waits for a `100 Continue`, so that it comes late."""
    head, _, body = sent.partition(b"\r\n\r\n")
    with connect(port) as client:
        client.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            if client.recv(25, socket.MSG_PEEK).startswith(b"HTTP/1.1 100"):
                client.recv(25)
                client.sendall(body)
        return read(client.makefile("rb"))


@pytest.mark.parametrize("sent", [
    call(CALL), call(b'{"texts": []}'), call(b"{"), call(b""), call(b'{"text": null}'),
    call(b'{"text": "a", "model": "third"}'), call(CALL, b"Connection: close\r\n"),
    call(b'{"text": "%s"}' % (b"a" * (1 << 20))),
    call(CALL).replace(b"application/json", b"text/plain"),
    call(CALL).replace(b"HTTP/1.1", b"HTTP/1.0"),
], ids=["texts", "none", "no JSON", "no body", "null", "no model", "the last one", "too large",
        "no type", "HTTP 1.0"])
def test_a_call_that_comes_at_once_is_answered_as_one_that_comes_in_pieces(
    server: Server, sent: bytes
) -> None:
    assert whole(server.port, sent) == in_pieces(server.port, sent)


def test_calls_behind_one_another_are_answered_in_turn(server: Server) -> None:
    with connect(server.port) as client:
        client.sendall(call(CALL) + b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" + call(b"{")
                       + call(b'{"text": "tea"}'))
        answers = client.makefile("rb")
        found = [read(answers) for _ in range(4)]
    assert [status for status, _, _ in found] == [200, 200, 422, 200]
    assert [body.count(b'"label"') for _, _, body in found] == [3, 0, 0, 1]


class Pending:
    """A model in the place of all, which answers when it is told to."""

    def __init__(self) -> None:
        self.asked, self.cancelled = threading.Event(), threading.Event()

    def call(self, body: bytes) -> tuple["Pending", list[str]]:
        if body == FAILS:
            raise ArithmeticError("on purpose")
        return self, []

    def ask(self, texts: list[str]) -> Asked:
        found: asyncio.Future[np.ndarray] = asyncio.get_running_loop().create_future()
        found.add_done_callback(lambda _: self.cancelled.set() if found.cancelled() else None)
        self.asked.set()
        none = np.zeros(0, np.int32)
        model: Any = self
        return Asked(model, EncodedTexts(none, none, none, none), found)


@pytest.fixture
def pending() -> Iterator[tuple[Pending, Counter[int], int]]:
    """A model that does not answer, statuses, and the port; the application answers 404."""
    model, statuses = Pending(), Counter[int]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await json_response({}, 404)(scope, receive, send)

    guard = Guard(app, "secret", statuses)
    listening = socket.create_server(("127.0.0.1", 0))
    models: Any = model
    server = uvicorn.Server(uvicorn.Config(
        guard, http=connections_of(models, guard), lifespan="off", log_config=None,
        proxy_headers=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    with listening:
        yield model, statuses, listening.getsockname()[1]
        server.should_exit = True
        thread.join(PATIENCE_S)


TOKEN = b"Authorization: Bearer secret\r\n"


def test_the_texts_of_a_client_that_leaves_are_given_up(
    pending: tuple[Pending, Counter[int], int]
) -> None:
    model, statuses, port = pending
    with connect(port) as client:
        client.sendall(call(CALL, TOKEN))
        assert model.asked.wait(PATIENCE_S)
    assert model.cancelled.wait(PATIENCE_S)
    assert whole(port, call(FAILS, TOKEN))[0] == 500  # after what the cancelled call leads to
    assert statuses == {499: 1, 500: 1}


def test_only_plain_calls_are_not_handed_to_the_application(
    pending: tuple[Pending, Counter[int], int]
) -> None:
    model, statuses, port = pending
    others = [call(CALL), call(CALL, b"Authorization: Bearer wrong\r\n"),
              call(CALL, TOKEN).replace(b"application/json", b"text/plain"),
              call(CALL, TOKEN).replace(b"POST", b"PUT"),
              call(CALL, TOKEN).replace(b"/v1/score", b"/v1/explain")]
    assert [whole(port, sent)[0] for sent in others] == [401, 401, 404, 404, 404]
    assert in_pieces(port, call(CALL, TOKEN))[0] == 404
    assert not model.asked.is_set()
    assert statuses == {401: 2, 404: 4}


@pytest.mark.parametrize("there", [0, 10, 100_000], ids=["head", "part", "long part"])
@pytest.mark.parametrize("body_s", [600, 0.01], ids=["patient", "hasty"])
def test_a_body_behind_its_head_is_waited_for_unless_it_is_long_or_late(
    pending: tuple[Pending, Counter[int], int], monkeypatch: pytest.MonkeyPatch,
    there: int, body_s: float,
) -> None:
    _, _, port = pending
    monkeypatch.setattr(DirectConnection, "body_s", body_s)
    sent = call(FAILS + b" " * 200_000 if there > 1000 else FAILS, TOKEN)
    split = sent.index(b"\r\n\r\n") + 4 + there
    with connect(port) as client:
        answers = client.makefile("rb")
        # When the first one is answered, what came with it is read.
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n" + TOKEN + b"\r\n" + sent[:split])
        assert read(answers)[0] == 404
        if body_s > 1 and there < 1000:
            client.sendall(sent[split:])
            assert read(answers)[0] == 500
        else:
            assert read(answers)[0] == 404


def test_an_error_is_an_answer_and_the_connection_goes_on(
    pending: tuple[Pending, Counter[int], int], caplog: pytest.LogCaptureFixture
) -> None:
    _, _, port = pending
    with connect(port) as client:
        answers = client.makefile("rb")
        for _ in range(2):
            client.sendall(call(FAILS, TOKEN))
            status, _, body = read(answers)
            assert (status, body) == (500, b'{"error":"the server has failed"}')
    assert "on purpose" in caplog.text
