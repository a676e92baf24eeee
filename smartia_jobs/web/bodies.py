"""What callers post, read whole: how much of one post is held, and how much of all together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

#: The most that one post may hold. Source: Meta, "Create a webhook endpoint" (2026-11).
MOST_BYTES = 3 << 20
#: What is held of all that is being read and checked: Meta's largest bundle, a thousand statuses,
#: has less than half a MiB.
_MOST_HELD_BYTES = 64 << 20
#: A post that is no bundle always finds room: the server buffers as much of each connection.
_SMALL_BYTES = 64 << 10


class RefusedError(Exception):
    """A body that is not read to its end.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, status: int, why: str) -> None:
        """Refuse it."""
        super().__init__(why)
        self.status = status


class Bodies:
    """Holds so much and no more, however many post at once."""

    def __init__(self) -> None:
        """Begin without any."""
        self._held_bytes = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """Lend what was posted; it must not be used afterwards.

        Raises:
            RefusedError: it is larger than Meta's are, or there is no room for it now.
            starlette.requests.ClientDisconnect: the caller has left.
        """
        chunks: list[bytes] = []
        size = 0
        if int(request.headers.get("content-length", "0")) > MOST_BYTES:
            raise _too_large()
        try:
            async for chunk in request.stream():
                size += len(chunk)
                self._held_bytes += len(chunk)
                if size > MOST_BYTES:
                    raise _too_large()
                if size > _SMALL_BYTES and self._held_bytes > _MOST_HELD_BYTES:
                    raise RefusedError(503, "too much is being posted at once")
                chunks.append(chunk)
            body = b"".join(chunks)
            chunks.clear()
            yield body
        finally:
            self._held_bytes -= size


def _too_large() -> RefusedError:
    return RefusedError(413, "a post was larger than Meta's are")
