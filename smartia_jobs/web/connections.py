"""Connections that nobody can keep open by sending little."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

#: How long a request may take to arrive, from the connection or the previous answer to its last
#: byte. Meta's take milliseconds, and a proxy in front of us passes on what it has read.
REQUEST_S = 10.0


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 whose requests must arrive whole within a time; uvicorn by itself has no limit."""

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
        # The answer to a whole request may take longer: a job runs for minutes.
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self.transport.abort()
