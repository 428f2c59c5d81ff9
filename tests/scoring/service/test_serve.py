"""A model over HTTP: the answers of the Python call, and refusals that say why."""

import json
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reviewmill
from scoring import load
from scoring.service.serve import is_loopback, listen
from tests.scoring.bundles import LENGTH, TEXTS
from tests.scoring.service.server import Server, serving

SECRET = "open sesame"


def positive(answer: dict[str, Any]) -> list[float]:
    return [result["probabilities"]["positive"] for result in answer["results"]]


def test_texts_get_the_answers_of_the_python_call(server: Server, model: Path) -> None:
    status, answer = server.post({"texts": TEXTS})
    wanted = load(str(model))(TEXTS)
    assert status == 200
    assert answer["classes"] == ["negative", "positive"]
    assert [result["label"] for result in answer["results"]] == wanted.labels
    np.testing.assert_allclose(positive(answer), wanted.probabilities[:, 1], rtol=0, atol=1e-5)
    assert [result["n_words"] for result in answer["results"]] == wanted.n_words.tolist()
    assert max(result["n_cut"] for result in answer["results"]) == 90 - LENGTH


def test_one_text_and_none_are_answered(server: Server) -> None:
    assert len(server.post({"text": "good tea"})[1]["results"]) == 1
    assert server.post({"texts": []}) == (
        200, {"model": "served", "classes": ["negative", "positive"], "results": []})


def test_calls_at_the_same_time_get_their_own_answers(server: Server, model: Path) -> None:
    calls = [[f"{'good ' * (n % 7)}tea", "bad cup"][: 1 + n % 2] for n in range(60)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda texts: server.post({"texts": texts}), calls))
    predictor = load(str(model))
    for texts, (status, answer) in zip(calls, answers, strict=True):
        assert status == 200
        np.testing.assert_allclose(positive(answer), predictor(texts).probabilities[:, 1],
                                   rtol=0, atol=1e-5)


def test_words_are_those_whose_absence_moves_the_probability(
    server: Server, model: Path
) -> None:
    text = "Good tea \N{GRINNING FACE} broke again"
    _, answer = server.post({"texts": [text, ""]}, "/v1/explain")
    [first, empty] = answer["results"]
    found = [(text[word["start"] : word["end"]], word["effect"]) for word in first["words"]]
    assert [word for word, _ in found] == text.split()
    whole, *without = load(str(model))([text, "Good tea \N{GRINNING FACE}  again"]
                                       ).probabilities[:, 1].tolist()
    assert found[3][1] == pytest.approx(whole - without[0], abs=1e-5)
    assert empty["words"] == []


def test_texts_that_would_take_too_long_to_explain_are_refused(server: Server) -> None:
    long = "word " * 20_000  # 300 words of it are left out in turn
    status, answer = server.post({"text": long}, "/v1/explain")
    assert (status, answer["error"]) == (413, "too long to explain; give fewer or shorter texts")
    assert server.post({"text": long})[0] == 200


def test_probes_and_the_interface_answer(server: Server) -> None:
    server.post({"text": "tea"})
    assert server.request("GET", "/healthz")[0] == 200
    assert json.loads(server.request("GET", "/readyz")[2]) == {"ready": True}
    paths = json.loads(server.request("GET", "/openapi.json")[2])["paths"]
    assert {"/v1/score", "/v1/explain", "/v1/models", "/healthz", "/readyz",
            "/metrics"} <= set(paths)
    assert server.request("GET", "/nothing")[0] == 404


def test_headers_without_end_are_refused_and_others_are_served(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as flood:
        flood.sendall(b"GET / HTTP/1.1\r\n" + b"X-Filler: " + b"a" * 100_000)
        assert b" 400 " in flood.recv(1000)
    assert server.post({"text": "tea"})[0] == 200


def test_clients_that_say_nothing_hinder_nobody(server: Server) -> None:
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
    try:
        silent[0].sendall(b"POST /v1/score HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n"
                          b"Content-Type: application/json\r\n\r\n{")
        assert server.post({"text": "tea"})[0] == 200
    finally:
        for client in silent:
            client.close()


def test_other_addresses_need_a_token(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REVIEWMILL_TOKEN", raising=False)
    assert reviewmill.main(["serve", str(model), "--host", "0.0.0.0"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "set REVIEWMILL_TOKEN" in line


def test_with_a_token_all_but_page_and_probes_ask_for_it(model: Path) -> None:
    with serving(model, "--host", "0.0.0.0", REVIEWMILL_TOKEN=SECRET) as server:
        assert server.post({"text": "tea"})[0] == 401
        assert server.post({"text": "tea"}, Authorization="Bearer wrong")[0] == 401
        assert server.post({"text": "tea"}, Authorization=f"Bearer {SECRET}")[0] == 200
        statuses = {path: server.request("GET", path)[0]
                    for path in ("/", "/page.css", "/page.js", "/healthz", "/readyz", "/metrics",
                                 "/v1/models", "/openapi.json")}
    closed = {path for path, status in statuses.items() if status == 401}
    assert closed == {"/metrics", "/v1/models", "/openapi.json"}
    assert {status for path, status in statuses.items() if path not in closed} == {200}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_its_calls(model: Path, number: int) -> None:
    with serving(model) as server, ThreadPoolExecutor(1) as pool:
        assert server.post({"text": "tea"})[0] == 200
        long = {"texts": ["good tea " * 40] * 1000}
        answer = pool.submit(server.post, long)
        # It has come when the server has begun with it.
        while b'_texts_total{model="served"} 1\n' in server.request("GET", "/metrics")[2]:
            pass
        server.stop(number)
        status, found = answer.result()
        assert (status, len(found["results"])) == (200, 1000)


def test_an_address_that_cannot_be_had_is_one_line(
    server: Server, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reviewmill.main(["serve", str(model), "--port", str(server.port)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "Address already in use" in line


def test_answers_are_not_held_back_for_acknowledgements() -> None:
    with listen("127.0.0.1", 0) as listening, \
            socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


@pytest.mark.parametrize(("host", "alone"), [
    ("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True),
    ("0.0.0.0", False), ("::", False), ("example.org", False), ("10.0.0.1", False)])
def test_addresses_of_this_machine_alone(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone
