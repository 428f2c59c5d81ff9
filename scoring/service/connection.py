"""Connections whose requests come in time, and have heads of a bounded size."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S = 30.0  # seconds in which the head of a request has to come
# Bytes of the head of a request, of what frames a piece of its body, and of what is behind it.
HEAD_BYTES = 16 << 10
BEHIND = 16  # requests that may come before the answer to one


class TooMuch(Exception):
    """More than a connection may send."""


class Connection(HttpToolsProtocol):
    """A connection that is closed when HEAD_S pass without the whole head of a request, and when
    more comes than the limits above.

    Without, clients that say nothing could hold all connections that a process may have. The
    parser has no limits of its own.
    """

    head_s = HEAD_S
    _deadline: asyncio.TimerHandle | None = None
    _head = 0  # bytes of names and values of the present head, and of its address
    _beside = 0  # bytes that came since a head, a piece of a body or a request was whole

    def connection_made(self, transport: Any) -> None:
        """A client has come."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        self._beside += len(data)
        super().data_received(data)
        # What the parser keeps until it is whole, such as a long value.
        if self._beside > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("Too much beside the body.")
        self._watch()

    def on_message_begin(self) -> None:
        """A request begins."""
        if len(self.pipeline) >= BEHIND:
            raise TooMuch
        super().on_message_begin()
        self._head = 0

    def on_url(self, url: bytes) -> None:
        """A part of the address has come."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header has come, before the body or behind it."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head has come."""
        self._beside = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body has come."""
        self._beside = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The whole request has come."""
        self._beside = 0
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._stop_watch()
        super().connection_lost(exc)

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > HEAD_BYTES:
            raise TooMuch

    def _watch(self) -> None:
        """The time runs from the first bytes of a request, or from none at all, until its head is
        whole; uvicorn closes a connection that is idle for 5 s after an answer."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_watch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.head_s, self.transport.close)

    def _stop_watch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
