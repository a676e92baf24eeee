"""Connections that know what was sent: one TLS context, total read time-outs, sure failures."""

import http.client
import io
import socket
import ssl
import time
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
)


class NotSentError(Exception):
    """No connection could be made, so the request surely never left; it may be repeated."""


class Adapter(HTTPAdapter):
    """Requests' adapter for one host, with one TLS context for all its connections.

    Args:
        size: how many connections there may be; the next request waits for one.
        tls: what they trust; requests would read the bundle of certificates for each.
    """

    def __init__(self, size: int, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._pool: Any = None
        super().__init__(pool_connections=1, pool_maxsize=size, pool_block=True)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any
    ) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._tls, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def get_connection_with_tls_context(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the one pool, without looking at proxies and certificates for each request."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(request, *args, **kwargs)
        return self._pool

    def request_url(self, request: Any, proxies: Any) -> str:
        """Return the path to ask for: there is no proxy that would need the whole address."""
        return str(request.path_url)

    def close(self) -> None:
        self._pool = None
        super().close()

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Add no certificates: the context has them, and the pool demands a valid one."""


class _Response(http.client.HTTPResponse):
    """An answer whose read time-out covers it all, from status line to last byte.

    The library's own time-out starts anew with every byte, so a trickle could last for ever.
    """

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Until(sock, self.fp.detach()))


class _Until(io.RawIOBase):
    """The incoming bytes of a socket, as long as its time-out, counted from now, lasts."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        timeout_s = sock.gettimeout()
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._deadline is not None:
            left_s = self._deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("the answer took too long")
            self._sock.settimeout(left_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Connection(HTTPConnection):
    """A connection that says for sure when nothing was sent: whatever fails in connecting.

    A request's head and body leave together, in one packet and one TLS record instead of two.
    """

    response_class = _Response
    _held: list[bytes] | None = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        held = self._held = []
        try:
            super().request(*args, **kwargs)
        finally:
            self._held = None
        super().send(b"".join(held))

    def send(self, data: Any) -> None:
        if self._held is None:
            super().send(data)
        else:
            self._held.append(data)

    def connect(self) -> None:
        try:
            super().connect()
        except (OSError, HTTPError) as error:
            why = next(why for kind, why in _WHY_NOT_CONNECTED if isinstance(error, kind))
            raise NotSentError(why) from error


class _TlsConnection(_Connection, HTTPSConnection):
    """The same with TLS; a failed handshake is a failure to connect."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


#: What an operator is told, by the kind of failure; the first that fits.
_WHY_NOT_CONNECTED = (
    (
        NameResolutionError,
        "The name of WhatsApp's server could not be looked up: check the network's DNS.",
    ),
    (NewConnectionError, "WhatsApp's server could not be reached: check the network."),
    (ssl.SSLError, "No secure connection to WhatsApp: check clock, certificates and proxy."),
    ((ConnectTimeoutError, TimeoutError), "WhatsApp's server took no connection in time."),
    (Exception, "WhatsApp's server broke off the connection before anything was sent."),
)
