"""Calls of the service: what a body may hold, and the refusals of all others."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import Request, Response
from starlette.requests import ClientDisconnect

BODY_BYTES = 1 << 20
TEXTS = 1000  # of one call
BODY_S = 30.0  # seconds in which a body has to come
SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "texts": {"type": "array", "items": {"type": "string"}, "maxItems": TEXTS},
        "model": {"type": "string", "description": "name of a model; the first where absent"},
    },
    "description": "text or texts",
}


FAILED = {"error": "the server has failed"}


class Refused(Exception):
    """A call that gets no answer but a status and a reason."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status, self.headers, self.value = status, headers, {"error": reason}


@dataclass(frozen=True)
class Call:
    """Request of a client, read from a body."""

    texts: list[str]
    model: str | None  # name; None: the first


def is_json(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """True where a body is JSON by its type; headers: names in lower case, and values."""
    kinds = [value for name, value in headers if name == b"content-type"]
    return bool(kinds) and kinds[0].partition(b";")[0] == b"application/json"


async def read_body(request: Request) -> bytes:
    """The body of a call; Refused where it is too large or late, or no JSON by its type."""
    try:
        async with asyncio.timeout(BODY_S):
            return await _body(request)
    except TimeoutError:
        raise Refused(408, f"the body did not come in {BODY_S:g} s") from None


def call_of(body: bytes | bytearray) -> Call:
    """The call in a body; Refused where it is none."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(422, f"no JSON: {error}") from None
    if (not isinstance(given, dict) or set(given) - {"text", "texts", "model"}
            or ("text" in given) == ("texts" in given)):
        raise Refused(422, 'give {"text": "..."} or {"texts": ["...", ...]}')
    texts = [given["text"]] if "text" in given else given["texts"]
    if not isinstance(texts, list) or len(texts) > TEXTS:
        raise Refused(422, f"texts is no list of at most {TEXTS}")
    wrong = next((n for n, text in enumerate(texts) if not isinstance(text, str)), None)
    if wrong is not None:
        raise Refused(422, f"text {wrong} is no string")
    model = given.get("model")
    if "model" in given and not isinstance(model, str):
        raise Refused(422, "model is no string")
    return Call(texts, model)


async def _body(request: Request) -> bytes:
    if not is_json(request.headers.raw):
        raise Refused(415, "the content type is not application/json")
    parts, size = [], 0
    try:
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > BODY_BYTES:
                raise Refused(413, f"more than {BODY_BYTES:,} bytes")
    except ClientDisconnect:
        raise Refused(499, "the client has gone") from None
    return b"".join(parts)


async def disconnected(request: Request) -> None:
    """Return when the client has gone; the body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def json_response(
    value: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A value as JSON."""
    return Response(orjson.dumps(value), status, headers, "application/json")
