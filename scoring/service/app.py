"""The HTTP service: texts to labels and probabilities as JSON, and a page to try them on."""

import asyncio
import hmac
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reviews.metrics import probabilities
from scoring.encode import EncodedTexts
from scoring.predictor import Predictor
from scoring.service.batcher import Batcher, Overloaded, find_budget
from scoring.service.explain import effects, without_each, words_of

Array = np.ndarray
BODY_BYTES = 1 << 20
TEXTS = 1000  # of one call
EXPLAINED = 1 << 22  # characters that are scored to explain the texts of a call
BODY_S = 30.0  # seconds in which a body has to come
WAITING_ROWS, WAITING_BATCHES = 4096, 100  # what may wait for the model
OPEN = ("/", "/healthz", "/readyz")  # paths that ask for no token
_POLICY = ("default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
           "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
           "frame-ancestors 'none'")


class Refused(Exception):
    """A call that gets no answer but a status and a reason."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status, self.headers = status, headers


class Service:
    """A model behind a queue."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor, self.statuses = predictor, Counter[int]()
        budget = find_budget(self._predict, predictor.encoder.coding.unknown,
                             predictor.bundle.recipe.encoding.length)
        self.batcher = Batcher(self._predict, budget, WAITING_ROWS, WAITING_BATCHES * budget)

    def _predict(self, rows: EncodedTexts) -> Array:
        return probabilities(self.predictor.model.logits(rows))

    async def probabilities(self, request: Request, rows: EncodedTexts) -> Array:
        """Those of encoded texts, unless the client goes before."""
        try:
            answer = self.batcher.submit(rows)
        except Overloaded:
            raise Refused(429, "too many texts are waiting", **{"Retry-After": "1"}) from None
        gone = asyncio.ensure_future(_disconnected(request))
        both: set[asyncio.Future[Any]] = {answer, gone}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise Refused(499, "the client has gone")
            return answer.result()
        finally:
            answer.cancel()
            gone.cancel()

    def encode(self, texts: list[str]) -> EncodedTexts:
        """Rows of texts."""
        return self.predictor.encoder.encode(pa.array(texts, pa.string()))

    async def score(self, request: Request) -> dict[str, Any]:
        """The answer to /v1/score."""
        texts = await _texts(request)
        rows = self.encode(texts)
        found = await self.probabilities(request, rows)
        return {"classes": self.predictor.classes, "results": self.results(rows, found)}

    async def explain(self, request: Request) -> dict[str, Any]:
        """The answer to /v1/explain: each text's words and how far they moved it."""
        texts = await _texts(request)
        words = [words_of(text) for text in texts]
        # Each text is scored once more for each of its words.
        if sum(len(text) * len(some) for text, some in zip(texts, words, strict=True)) > EXPLAINED:
            raise Refused(413, "too long to explain; give fewer or shorter texts")
        made = [without_each(text, some) for text, some in zip(texts, words, strict=True)]
        rows = self.encode([text for some in made for text in some])
        found = await self.probabilities(request, rows)
        ends = np.cumsum([len(some) for some in made])
        firsts = ends - [len(some) for some in made]
        results = self.results(rows.take(firsts), found[firsts])
        for result, some, first, end in zip(results, words, firsts, ends, strict=True):
            moved = effects(found[first:end])
            result["words"] = [
                {"start": word.start, "end": word.end, "effect": round(float(effect), 6)}
                for word, effect in zip(some, moved, strict=True)]
        return {"classes": self.predictor.classes, "results": results}

    def results(self, rows: EncodedTexts, found: Array) -> list[dict[str, Any]]:
        """One object for each text."""
        classes = self.predictor.classes
        numbers = zip(found.argmax(1).tolist(), found.tolist(), rows.n_words.tolist(),
                      rows.n_cut.tolist(), strict=True)
        return [{"label": classes[best], "probabilities": dict(zip(classes, row, strict=True)),
                 "n_words": words, "n_cut": cut} for best, row, words, cut in numbers]

    def metrics(self) -> str:
        """Counters in the text format of Prometheus."""
        counts = self.batcher.counts
        lines = ["# TYPE reviewmill_responses_total counter"]
        lines += [f'reviewmill_responses_total{{status="{status}"}} {n}'
                  for status, n in sorted(self.statuses.items())]
        for name, kind, value in (
            ("texts_total", "counter", counts.texts), ("ids_total", "counter", counts.ids),
            ("batches_total", "counter", counts.batches),
            ("model_seconds_total", "counter", counts.seconds),
            ("refused_texts_total", "counter", counts.refused),
            ("left_texts_total", "counter", counts.left),
            ("waiting_texts", "gauge", self.batcher.waiting_rows),
        ):
            lines += [f"# TYPE reviewmill_{name} {kind}", f"reviewmill_{name} {value}"]
        return "\n".join(lines) + "\n"


class Guard:
    """Asks for the token, where there is one, and counts the statuses of all answers."""

    def __init__(self, app: ASGIApp, token: str | None, statuses: Counter[int]) -> None:
        self._app, self._token, self._statuses = app, token, statuses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._statuses[message["status"]] += 1
                message["headers"] = [*message["headers"], (b"x-content-type-options", b"nosniff")]
            await send(message)

        if self._token is None or scope["path"] in OPEN or self._knows(scope):
            await self._app(scope, receive, count)
        else:
            answer = _json({"error": "a bearer token is needed"}, 401,
                           {"WWW-Authenticate": "Bearer"})
            await answer(scope, receive, count)

    def _knows(self, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        assert self._token is not None
        return hmac.compare_digest(given, b"Bearer " + self._token.encode())


async def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _json({"error": str(error)}, error.status, error.headers)


def make_app(predictor: Predictor, token: str | None = None) -> FastAPI:
    """The application; with a token, all but the page and the probes ask for it as Bearer."""
    service = Service(predictor)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        await service.batcher.stop()

    # Pages about the interface would fetch their scripts from elsewhere.
    app = FastAPI(title="reviewmill", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, token=token, statuses=service.statuses)
    app.add_exception_handler(Refused, _refusal)
    page = resources.files("scoring.service").joinpath("page.html").read_bytes()

    body = {"requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}}}

    @app.post("/v1/score", openapi_extra=body)
    async def score(request: Request) -> Response:
        """Label and probabilities of one text or many."""
        return _json(await service.score(request))

    @app.post("/v1/explain", openapi_extra=body)
    async def explain(request: Request) -> Response:
        """The same, and how far each word moved the probability."""
        return _json(await service.explain(request))

    @app.get("/healthz")
    async def health() -> Response:
        """The process answers."""
        return _json({"status": "ok"})

    @app.get("/readyz")
    async def ready() -> Response:
        """The model computes."""
        runs = service.batcher.runs
        return _json({"ready": runs}, 200 if runs else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Counters for Prometheus."""
        return Response(service.metrics(), media_type="text/plain; version=0.0.4")

    @app.get("/", include_in_schema=False)
    async def home() -> Response:
        return Response(page, media_type="text/html",
                        headers={"Content-Security-Policy": _POLICY})

    return app


_BODY = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "texts": {"type": "array", "items": {"type": "string"}, "maxItems": TEXTS},
    },
    "description": "text or texts",
}


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, "application/json")


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _texts(request: Request) -> list[str]:
    """The texts of a call."""
    try:
        body = await asyncio.wait_for(_body(request), BODY_S)
    except TimeoutError:
        raise Refused(408, f"the body did not come in {BODY_S:g} s") from None
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(422, f"no JSON: {error}") from None
    if not isinstance(given, dict) or len(given) != 1 or not {"text", "texts"} & set(given):
        raise Refused(422, 'give {"text": "..."} or {"texts": ["...", ...]}')
    texts = [given["text"]] if "text" in given else given["texts"]
    if not isinstance(texts, list) or len(texts) > TEXTS:
        raise Refused(422, f"texts is no list of at most {TEXTS}")
    wrong = next((n for n, text in enumerate(texts) if not isinstance(text, str)), None)
    if wrong is not None:
        raise Refused(422, f"text {wrong} is no string")
    return texts


async def _body(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
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
