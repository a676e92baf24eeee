"""How much of what is posted is held at one time, and that nothing is read of what is unsigned."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from urllib.parse import urlsplit

import pytest
from starlette.requests import Request

from smartia_jobs.web.bodies import Bodies, RefusedError
from tests.support import Clinic
from tests.web import test_webhook
from tests.web.test_webhook import Serve

serve = test_webhook.serve

MIB = 1 << 20
#: A post of the largest size, and one that is no bundle.
LARGEST, SMALL = 3 * MIB, 64 << 10


@pytest.mark.parametrize("signed", ["", "sha256=", "sha1=" + "0" * 40])
def test_what_has_no_signature_is_refused_before_it_comes(
    sqlite_clinic: Clinic, serve: Serve, signed: str
) -> None:
    parts = urlsplit(serve(sqlite_clinic).url)
    head = (
        f"POST /webhook HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: {signed}\r\n"
        f"Content-Length: {LARGEST}\r\n\r\n"
    )

    with closing(socket.create_connection((parts.hostname or "", parts.port or 0), 30)) as caller:
        caller.sendall(head.encode())
        answer = caller.recv(1000)

    assert answer.startswith(b"HTTP/1.1 401 ")


def test_beside_64_mib_there_is_room_for_what_is_small_and_for_all_again_afterwards() -> None:
    async def posts() -> tuple[list[int], int]:
        bodies = Bodies()
        async with AsyncExitStack() as stack:

            async def read(size: int) -> int:
                return len(await stack.enter_async_context(bodies.read(_posted(size))))

            sizes = [await read(size) for size in [LARGEST] * 21 + [MIB, SMALL]]
            with pytest.raises(RefusedError) as refused:
                await read(SMALL + 1)
        async with bodies.read(_posted(LARGEST)) as body:
            sizes.append(len(body))
        return sizes, refused.value.status

    sizes, refused = asyncio.run(posts())

    assert sizes == [LARGEST] * 21 + [MIB, SMALL, LARGEST]
    assert refused == 503


def _posted(size: int) -> Request:
    """Return a request whose body comes in pieces of 32 KiB."""
    piece = 32 << 10
    pieces: Iterator[int] = iter(range(0, size, piece))

    async def receive() -> dict[str, object]:
        at = next(pieces)
        body = b" " * min(piece, size - at)
        return {"type": "http.request", "body": body, "more_body": at + piece < size}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)
