"""Attacks on a server are refused or served; others are served meanwhile, memory is bounded."""

import contextlib
import gzip
import random
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scoring.bundles import make_bundle
from tests.scoring.service.server import Server, serving

HEAD = b"POST /v1/score HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GOOD = HEAD + b'Content-Length: 15\r\n\r\n{"text": "tea"}'
PATIENCE_S = 60
MORE_MB = 200  # memory that no attack makes the server take
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("model"), "lstm")[0]


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Server]:
    with serving(model) as started:
        assert served(started)
        before = peak_mb(started)
        yield started
        assert served(started)
        assert peak_mb(started) < before + MORE_MB


def served(server: Server) -> bool:
    return server.post({"text": "good tea"})[0] == 200


def peak_mb(server: Server) -> int:
    """The most memory that the server has had."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) >> 10


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)


def answer(server: Server, sent: bytes) -> bytes:
    """The status of the first answer to some bytes, empty where the connection is closed."""
    with connect(server) as client:
        with contextlib.suppress(ConnectionError):  # refused before all is sent
            client.sendall(sent)
        try:
            return client.recv(12)[9:]
        except ConnectionError:
            return b""


@pytest.mark.parametrize("sent", [
    GET + b"".join(b"X-%d: a\r\n" % n for n in range(100_000)) + b"\r\n",
    GET + b"X-Filler: " + b"a" * 1_000_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n",
    b"\r\n" * 100_000 + b"\x00" * 100_000,
    HEAD + b"Content-Length: -1\r\n\r\n",
    HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n{}  ",
    HEAD + b"Content-Length: 3\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{} ",
    CHUNKED + b"F" * 24 + b"\r\n" + b"a" * 1_000_000,
    CHUNKED + b"1;" + b"a" * 1_000_000,
    CHUNKED + b"0\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(100_000)) + b"\r\n",
    CHUNKED + b"0\r\nX-Filler: " + b"a" * 1_000_000 + b"\r\n\r\n",
], ids=["many headers", "a long header", "a long address", "no HTTP", "a negative length",
        "two lengths", "two encodings", "a huge chunk", "a long extension", "many trailers",
        "a long trailer"])
def test_requests_that_are_no_http_are_refused(server: Server, sent: bytes) -> None:
    assert answer(server, sent) in (b"400", b"413", b"501", b"")
    assert served(server)


@pytest.mark.parametrize("length", [b"1048577", b"9" * 20])
def test_bodies_without_end_are_refused(server: Server, length: bytes) -> None:
    body = b"a" * (2 << 20)  # what is behind the shorter length is no request
    assert answer(server, HEAD + b"Content-Length: " + length + b"\r\n\r\n" + body) in (
        b"400", b"413", b"")
    assert answer(server, CHUNKED + b"200000\r\n" + body) in (b"413", b"")
    assert served(server)


@pytest.mark.parametrize("body", [
    b'{"text": NaN}', b'{"text": Infinity}', b'{"text": 1e999}', b'{"text": %s}' % (b"9" * 500_000),
    b'{"texts": [-0.0, 1]}', b"[" * 1_000_000, b'{"a":' * 200_000,
    b'{"texts": ' + b"[" * 500 + b"]" * 500 + b"}", b'{"texts": [' + b'"",' * 300_000 + b'""]}',
    b'{"text": "\\ud800"}', b'{"text": "\xff"}', b"\x00" * 1_000_000, b"", b"\xef\xbb\xbf{}",
    b"{" + b",".join(b'"k%d": 0' % n for n in range(80_000)) + b"}",
])
def test_json_that_means_harm_is_refused(server: Server, body: bytes) -> None:
    assert server.post(body)[0] == 422
    assert served(server)


def test_compressed_bodies_are_not_inflated(server: Server) -> None:
    bomb = gzip.compress(b"a" * (512 << 20), 1)[: 1 << 20]
    assert server.post(bomb, Content_Encoding="gzip")[0] in (413, 422)


@pytest.mark.parametrize("text", ["a" * 1_000_000, "a " * 500_000, "<" * 1_000_000, "'" * 1_000_000,
                                  "&#" * 500_000, "\ufdfa" * 300_000, "a\u0301" * 200_000])
def test_texts_of_any_kind_are_scored(server: Server, text: str) -> None:
    status, found = server.post(b'{"text": "' + text.encode() + b'"}')
    assert (status, len(found["results"])) == (200, 1)


def test_mutants_of_a_request_are_answered_or_closed(server: Server) -> None:
    dice = random.Random(0)
    for _ in range(100):
        mutant = bytearray(GOOD)
        for _ in range(dice.randint(1, 5)):
            mutant[dice.randrange(len(mutant))] = dice.randrange(256)
        with connect(server) as client:
            client.sendall(mutant)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(12)[9:10] in (b"", b"2", b"4", b"5")
    assert served(server)


def test_calls_sent_one_behind_another_that_nobody_reads_are_not_held(server: Server) -> None:
    with connect(server) as client:
        client.settimeout(1)
        with contextlib.suppress(TimeoutError, ConnectionError):
            client.sendall((GET + b"\r\n") * 200_000)
        assert served(server)


def open_many(server: Server, count: int) -> None:
    """Open connections, half of them silent and half in a body; others are served."""
    with contextlib.ExitStack() as all_open:
        for number in range(count):
            client = all_open.enter_context(connect(server))
            if number % 2:
                client.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"a" * 1000)
        assert served(server)
    assert served(server)


def test_many_open_connections_hinder_nobody(server: Server) -> None:
    open_many(server, 300)


@pytest.mark.soak
def test_2000_open_connections_hinder_nobody(server: Server) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        open_many(server, 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_low_limit_of_open_files_is_no_limit_of_connections(model: Path) -> None:
    with serving(model) as server:
        limits = Path(f"/proc/{server.process.pid}/limits").read_text()
        [line] = [line for line in limits.splitlines() if line.startswith("Max open files")]
        assert line.split()[3] == line.split()[4]


def test_what_clients_send_is_not_logged(
    model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(model) as server:
        for _ in range(20):
            answer(server, b"no HTTP\r\n\r\n")
            with connect(server) as client:
                client.sendall(HEAD + b"Content-Length: 50\r\n\r\n{")
        assert served(server)
        server.stop()
    assert capfd.readouterr().err == "reviewmill serve: stopped\n"
