"""The HTTP service: texts to labels and probabilities as JSON, and a page to try them on."""

import hmac
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from importlib import resources

from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scoring.service.calls import FAILED, SCHEMA, Refused, json_response, read_body
from scoring.service.metrics import metrics_text
from scoring.service.models import Models

# Files of the page, which ask for no token, as the probes do.
PAGE = {"/": "page.html", **{f"/{name}": name for name in (
    "page.css", "page.js", "server.js", "show.js", "files.js", "table.js")}}
SCORE = "/v1/score"
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
OPEN = (*PAGE, "/healthz", "/readyz")
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
_POLICY = ("default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
           "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


Endpoint = Callable[[Request], Awaitable[Response]]


class Guard:
    """Asks for the token, where there is one, and counts the statuses of all answers."""

    def __init__(self, app: ASGIApp, token: str | None, statuses: Counter[int]) -> None:
        self._app, self._token, self.statuses = app, token, statuses

    def admits(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """True where a request needs no token, or has it."""
        if self._token is None or path in OPEN:
            return True
        given = dict(headers).get(b"authorization", b"")
        return hmac.compare_digest(given, b"Bearer " + self._token.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.statuses[message["status"]] += 1
                message["headers"] = [*message["headers"], NO_SNIFFING]
            await send(message)

        if self.admits(scope["path"], scope["headers"]):
            await self._app(scope, receive, count)
        else:
            answer = json_response({"error": "a bearer token is needed"}, 401,
                                   {"WWW-Authenticate": "Bearer"})
            await answer(scope, receive, count)


class Calls:
    """Answers calls by themselves: the way through FastAPI takes longer than a text."""

    def __init__(self, app: ASGIApp, endpoints: Mapping[str, Endpoint]) -> None:
        """endpoints: of POST, by path; the routes of the application describe them."""
        self._app, self._endpoints = app, endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call, or hand the request on."""
        endpoint = None
        if scope["type"] == "http" and scope["method"] == "POST":
            endpoint = self._endpoints.get(scope["path"])
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        try:
            answer = await endpoint(Request(scope, receive))
        except Refused as error:
            answer = json_response(error.value, error.status, error.headers)
        except Exception:
            await json_response(FAILED, 500)(scope, receive, send)
            raise
        await answer(scope, receive, send)


def make_app(models: Models, token: str | None = None) -> Guard:
    """The application; with a token, all but the page and the probes ask for it as Bearer."""
    statuses = Counter[int]()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        models.start()
        yield
        await models.stop()

    # Pages about the interface would fetch their scripts from elsewhere.
    app = FastAPI(title="reviewmill", lifespan=lifespan, docs_url=None, redoc_url=None)
    endpoints = _add_calls(app, models)
    _add_page(app)

    @app.get("/healthz")
    async def health() -> Response:
        """The process answers."""
        return json_response({"status": "ok"})

    @app.get("/readyz")
    async def ready() -> Response:
        """The models compute."""
        return json_response({"ready": models.ready}, 200 if models.ready else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Counters for Prometheus."""
        return Response(metrics_text(models, statuses), media_type="text/plain; version=0.0.4")

    return Guard(Calls(app, endpoints), token, statuses)


def _add_calls(app: FastAPI, models: Models) -> dict[str, Endpoint]:
    """Describe the calls; their endpoints by path."""

    body = {"requestBody": {"required": True, "content": {"application/json": {"schema": SCHEMA}}}}

    @app.post(SCORE, openapi_extra=body)
    async def score(request: Request) -> Response:
        """Label and probabilities of one text or many."""
        model, texts = models.call(await read_body(request))
        return json_response(await model.score(request, texts))

    @app.post("/v1/explain", openapi_extra=body)
    async def explain(request: Request) -> Response:
        """The same, and how far each word moved the probability."""
        model, texts = models.call(await read_body(request))
        return json_response(await model.explain(request, texts))

    @app.get("/v1/models")
    async def names() -> Response:
        """Names, classes and lengths of the models, and the sha256 of their weights."""
        return json_response({"models": [served.describe() for served in models.all]})

    return {SCORE: score, "/v1/explain": explain}


def _add_page(app: FastAPI) -> None:
    folder = resources.files("scoring.service.page")

    def add(path: str, name: str) -> None:
        data = folder.joinpath(name).read_bytes()
        kind = _TYPES[name.rpartition(".")[2]]

        @app.get(path, include_in_schema=False)
        async def file() -> Response:
            # A server of the next version has other files at the same address.
            return Response(data, media_type=kind, headers={
                "Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"})

    for path, name in PAGE.items():
        add(path, name)
