"""Connections of which nobody can hold one by saying little."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

#: How long a request may take to come in, from the connection or the answer before to its last
#: byte. Meta's take milliseconds, and a proxy in front of us hands on what it has read.
REQUEST_S = 10.0


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 whose requests must have come in whole in time; uvicorn alone waits for ever."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_a_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expiry.cancel()
        self._expect_a_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expiry.cancel()
        super().connection_lost(exc)

    def _expect_a_request(self) -> None:
        self._expiry = self.loop.call_later(REQUEST_S, self._expire)

    def _expire(self) -> None:
        # One that is whole may take its time to be answered: a job runs for minutes.
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self.transport.abort()
