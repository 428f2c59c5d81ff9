"""Calls of /v1/score that the connection answers itself, without a task.

A task, its way to the body and its look-out for a client that leaves cost as much as some texts.
The rules of calls are those of the application, which answers all that is not plain here.
"""

from asyncio import CancelledError, TimerHandle
from typing import Any

import orjson
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from scoring.service.app import NO_SNIFFING, SCORE, Guard
from scoring.service.calls import BODY_BYTES, FAILED, Refused, is_json
from scoring.service.connection import Connection
from scoring.service.models import Models
from scoring.service.served_model import Asked

BODY_S = 0.05  # seconds in which the body of a call comes behind its head


class DirectConnection(Connection):
    """A connection that answers a call whose body has come with its head, or right behind it."""

    models: Models
    guard: Guard  # of the application
    body_s = BODY_S
    _asked: Asked | None = None
    _waiting: tuple[RequestResponseCycle, Any, TimerHandle] | None = None  # for a body

    def on_body(self, body: bytes) -> None:
        """A piece of the body has come; the application reads a long one."""
        super().on_body(body)
        if self._waiting is not None and _is_long(self._waiting[0]):
            self._end_wait()

    def on_message_complete(self) -> None:
        """The whole request has come."""
        super().on_message_complete()
        self._end_wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone: its texts are not computed."""
        super().connection_lost(exc)
        if self._asked is not None:
            self._asked.found.cancel()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """uvicorn's own, of a request whose turn has come."""
        if cycle.scope["path"] == SCORE and cycle.scope["method"] == "POST":
            self.loop.call_soon(self._start, cycle, app)  # when what has come is read
        else:
            super()._start_asgi_task(cycle, app)

    def _start(self, cycle: RequestResponseCycle, app: Any) -> None:
        if (cycle.more_body and not cycle.waiting_for_100_continue and not _is_long(cycle)
                and not self.transport.is_closing()):
            # Most clients send the body in a packet of its own.
            self._waiting = cycle, app, self.loop.call_later(self.body_s, self._end_wait)
        else:
            self._go_on(cycle, app)

    def _end_wait(self) -> None:
        if self._waiting is not None:
            (cycle, app, timer), self._waiting = self._waiting, None
            timer.cancel()
            self.loop.call_soon(self._go_on, cycle, app)

    def _go_on(self, cycle: RequestResponseCycle, app: Any) -> None:
        if not self._is_plain(cycle):
            super()._start_asgi_task(cycle, app)
            return
        try:
            model, texts = self.models.call(cycle.body)
            self._asked = asked = model.ask(texts)
        except Refused as error:
            self._send(cycle, error.status, error.value, error.headers)
        except Exception as error:
            self._fail(cycle, error)
        else:
            asked.found.add_done_callback(lambda _: self._answer(cycle, asked))

    def _is_plain(self, cycle: RequestResponseCycle) -> bool:
        """True for a call that is there whole, of a client that may make it and reads answers."""
        headers = cycle.scope["headers"]
        return (not cycle.more_body and len(cycle.body) <= BODY_BYTES and is_json(headers)
                and not self.flow.write_paused and not self.transport.is_closing()
                and self.guard.admits(SCORE, headers))

    def _answer(self, cycle: RequestResponseCycle, asked: Asked) -> None:
        self._asked = None
        try:
            self._send(cycle, 200, asked.answer())
        except CancelledError:  # the client has gone, or the server ends
            self.guard.statuses[499] += cycle.disconnected
            self.transport.close()
        except Exception as error:
            self._fail(cycle, error)

    def _fail(self, cycle: RequestResponseCycle, error: Exception) -> None:
        self._send(cycle, 500, FAILED)
        self.logger.error("A call has failed\n", exc_info=error)

    def _send(
        self, cycle: RequestResponseCycle, status: int, value: Any,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Write an answer, and go on with the connection as uvicorn does."""
        self.guard.statuses[status] += 1
        if cycle.disconnected:
            return
        body = orjson.dumps(value)
        lines = [(name.encode(), text.encode()) for name, text in (headers or {}).items()]
        lines += [*self.server_state.default_headers, NO_SNIFFING,
                  (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if not cycle.keep_alive:
            lines.append((b"connection", b"close"))
        head = b"".join([b"%b: %b\r\n" % line for line in lines])
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[status], head, body))
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()


def _is_long(cycle: RequestResponseCycle) -> bool:
    """True for a body of which uvicorn reads no more until somebody takes it."""
    return len(cycle.body) > HIGH_WATER_LIMIT


def connections_of(models: Models, guard: Guard) -> type[DirectConnection]:
    """The kind of connection that answers calls of the models."""
    return type("OwnConnection", (DirectConnection,), {"models": models, "guard": guard})
