"""Bodies of calls: what is no call is refused with a reason."""

import json

import pytest

from tests.scoring.service.server import Server


@pytest.mark.parametrize(("body", "status", "reason"), [
    (b"{", 422, "no JSON"),
    (b'{"text": NaN}', 422, "no JSON"),
    (b"[]", 422, 'give {"text"'),
    (b"{}", 422, 'give {"text"'),
    (b'{"text": "a", "texts": []}', 422, 'give {"text"'),
    (b'{"text": "a", "length": 3}', 422, 'give {"text"'),
    (b'{"text": "a", "model": 1}', 422, "model is no string"),
    (b'{"text": "a", "model": null}', 422, "model is no string"),
    (b'{"text": "a", "model": "third"}', 422, "no model 'third'; there are served, bag"),
    (b'{"model": "bag"}', 422, 'give {"text"'),
    (b'{"text": null}', 422, "text 0 is no string"),
    (b'{"texts": ["a", null]}', 422, "text 1 is no string"),
    (b'{"texts": "a"}', 422, "texts is no list"),
    (json.dumps({"texts": ["a"] * 1001}).encode(), 422, "at most 1000"),
    (json.dumps({"text": "a" * (1 << 20)}).encode(), 413, "more than 1,048,576 bytes"),
    (b"[" * 100_000, 422, "no JSON"),
    (b'{"text": "\\ud800"}', 422, "no JSON"),
    (b'{"text": "\xff"}', 422, "no JSON"),
])
def test_what_cannot_be_scored_is_refused_with_a_reason(
    server: Server, body: bytes, status: int, reason: str
) -> None:
    found, answer = server.post(body)
    assert (found, reason in answer["error"]) == (status, True)


def test_a_body_of_another_type_is_refused(server: Server) -> None:
    assert server.post({"text": "a"}, Content_Type="text/plain")[0] == 415
