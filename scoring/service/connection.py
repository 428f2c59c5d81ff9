"""Connections whose requests come in time."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 30.0  # seconds in which the head of a request has to come


class Connection(H11Protocol):
    """A connection that is closed when HEAD_S pass without the whole head of a request.

    Without, clients that say nothing could hold all connections that a process may have.
    """

    head_s = HEAD_S
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A client has come."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """An answer has been sent."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._stop_watch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """The time runs while no call is under way, from the first moment of that."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_watch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.head_s, self.transport.close)

    def _stop_watch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
