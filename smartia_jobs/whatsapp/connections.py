"""Connections that know what was sent: sure failures to connect, a deadline for each answer."""

import http.client
import io
import logging
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError

#: Meta's answers are a few hundred bytes; what is longer is not Meta's.
LONGEST_ANSWER = 1 << 20
#: The same for all that comes with it: status, headers, interim answers, chunks' lengths.
_LONGEST_REST = 1 << 16

# Their lines hold addresses, and the address that asks Meta about the token holds it.
logging.getLogger("urllib3.connectionpool").setLevel(logging.WARNING)
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)


class NotSentError(Exception):
    """No connection could be made, so the request surely never left; it may be repeated."""


class NoAnswerError(Exception):
    """The request may have left, and no whole answer came back."""


class Adapter(HTTPAdapter):
    """Requests' adapter over connections of this module; repeats and follows nothing.

    Args:
        workers: how many connections there may be; the next request waits for one.
        tls: whom they trust; requests would read the bundle of certificates for each.
    """

    def __init__(self, workers: int, tls: ssl.SSLContext) -> None:
        self._tls = tls
        super().__init__(pool_connections=1, pool_maxsize=workers, pool_block=True)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Have urllib3's pool make connections of this module."""
        super().init_poolmanager(*args, ssl_context=self._tls, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Add no certificates: the context has them."""


class SharedTLS(ssl.SSLContext):
    """A TLS context that threads may share: nothing changes it once it is made.

    urllib3 sets its protocols again for each connection. OpenSSL frees the old list while another
    thread may be reading it, which sometimes crashes the program.

    Source: CPython's issue 141012 (2025-11).
    """

    def set_alpn_protocols(self, alpn_protocols: object) -> None:
        """Offer none: a server that is offered none speaks HTTP/1.1."""


class _Received(io.RawIOBase):
    """The bytes of one answer, until a deadline and up to a length.

    A socket's own time-out starts again with every byte, so a trickle could go on forever. Here
    the time-out that urllib3 has set is the time for the whole answer.

    Attributes:
        may_end: whether the answer ends where the other side closes the connection.
        waits: whether a read waits for what has not come yet.
    """

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self.sock = sock
        self.may_end = False
        self.waits = True
        self._raw = raw
        self._deadline_s = time.monotonic() + (sock.gettimeout() or 0.0)
        self._allowed = LONGEST_ANSWER + _LONGEST_REST

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._deadline_s - time.monotonic()
        if self.waits and left_s <= 0:
            raise TimeoutError("the answer took too long")
        self.sock.settimeout(left_s if self.waits else 0.0)
        count = self._raw.readinto(buffer)
        if count == 0 and not self.may_end:
            raise ConnectionAbortedError("the answer was cut off")
        self._allowed -= count or 0
        if self._allowed < 0:
            raise ConnectionAbortedError("the answer is too long")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Buffer(io.BufferedReader):
    """Reads an answer by lines and lengths, and leaves nothing of it to the next request."""

    def __init__(self, received: _Received) -> None:
        super().__init__(received)
        self._received = received

    def close(self) -> None:
        """End; a connection on which more has come than one answer is not used again."""
        if not self.closed:
            self._received.waits = False
            with suppress(OSError):  # nothing has come, or it is broken, as its next use will show
                if self.peek(1):
                    self._received.sock.shutdown(socket.SHUT_RDWR)
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer that is whole, or raises."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._received = _Received(sock, self.fp.detach())
        self.fp = _Buffer(self._received)

    def begin(self) -> None:
        """Read the headers; pass over interim answers, of which http.client knows 100 alone."""
        super().begin()
        while self.status < http.HTTPStatus.OK:
            self.headers = None  # type: ignore[assignment]  # so it says that it has not begun
            super().begin()
        self._received.may_end = self.length is None and not self.chunked


class _Connection(HTTPConnection):
    response_class = _Answer

    def connect(self) -> None:
        _connect(super().connect)


class _SecureConnection(HTTPSConnection):
    response_class = _Answer

    def connect(self) -> None:
        _connect(super().connect)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def _connect(connect: Callable[[], None]) -> None:
    """Connect; whatever fails here has sent nothing, whatever fails later may have.

    Raises:
        NotSentError: it did not come about.
    """
    try:
        connect()
    except (OSError, ValueError, HTTPError) as error:
        raise NotSentError(_why_not_connected(error)) from error


def _why_not_connected(error: Exception) -> str:
    """Return what an operator is told."""
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLError):
        return "No secure connection to WhatsApp: check clock, certificates and proxy."
    if isinstance(cause, socket.gaierror | ValueError):
        return "The name of WhatsApp's server could not be looked up: check the network's DNS."
    if isinstance(cause, TimeoutError):
        return "WhatsApp's server took no connection in time."
    if isinstance(error, NewConnectionError):
        return "WhatsApp's server could not be reached: check the network."
    return "WhatsApp's server broke off the connection before anything was sent."
