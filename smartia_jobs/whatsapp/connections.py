"""Connections that know what was sent: one TLS context, total read time-outs, sure failures."""

import http.client
import io
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import wait_for_read

#: Meta's answers are a few hundred bytes; what is longer is not Meta's.
LONGEST_ANSWER = 1 << 20

#: Why a request may or may not have arrived.
BROKEN = "The connection to WhatsApp broke before its answer."


class NotSentError(Exception):
    """No connection could be made, so the request surely never left; it may be repeated."""


class NoAnswerError(Exception):
    """The request may have left, and no whole answer came back."""


class Adapter(HTTPAdapter):
    """Requests' adapter for one host, over a pool that does no more than a message needs.

    Between a prepared request and its answer requests and urllib3 look up proxies, certificates
    and pool, and prepare for redirects, repetitions and cookies: more work than all the rest of
    sending, and none of it is wanted here.

    Args:
        root: address of the host: scheme, name and port.
        size: how many connections there may be; the next request waits for one.
        timeouts_s: seconds to connect (to each address of the host, handshake included), and
            seconds from the request to the last byte of the answer.
        tls: whom they trust; requests would read the bundle of certificates for each.
    """

    def __init__(
        self, root: str, size: int, *, timeouts_s: tuple[float, float], tls: ssl.SSLContext
    ) -> None:
        super().__init__()
        self._pool = _Pool(root, size, timeouts_s, tls)

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> Any:
        """Return the one pool."""
        return self._pool

    def request_url(self, request: Any, proxies: Any) -> str:
        """Return the path to ask for: there is no proxy that would need the whole address."""
        return str(request.path_url)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Add no certificates: the context has them."""

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """Return what a caller here reads: status, headers and the raw body."""
        response = requests.Response()
        response.request, response.raw = req, resp
        response.status_code, response.headers = resp.status, resp.headers
        return response

    def close(self) -> None:
        self._pool.close()
        super().close()


@dataclass(frozen=True, slots=True)
class _Answer:
    """One answer, read to its end; a body that is longer than any of Meta's is cut."""

    status: int
    headers: http.client.HTTPMessage
    body: io.BytesIO

    def read(self, size: int) -> bytes:
        return self.body.read(size)


class _Pool:
    """Kept-alive connections to one host; the one that was used last is used next."""

    def __init__(
        self, root: str, size: int, timeouts_s: tuple[float, float], tls: ssl.SSLContext
    ) -> None:
        self._idle: deque[_Connection] = deque()
        parts = urlsplit(root)
        self._host, self._port = parts.hostname or "", parts.port
        self._tls = tls if parts.scheme == "https" else None
        self._connect_timeout_s, self._read_timeout_s = timeouts_s
        self._places = threading.Semaphore(size)

    def urlopen(
        self,
        *,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        **_: Any,
    ) -> _Answer:
        """Send one request and read its answer; nothing is repeated or followed.

        Raises:
            NotSentError: no connection; nothing left this machine.
            NoAnswerError: whether the request arrived is not known.
        """
        with self._places:
            connection = self._connected()
            try:
                answer, reusable = connection.exchange(
                    method, url, body, headers, read_timeout_s=self._read_timeout_s
                )
            except BaseException as error:
                connection.close()
                if isinstance(error, TimeoutError):
                    raise NoAnswerError("WhatsApp did not answer in time.") from None
                if isinstance(error, (OSError, http.client.HTTPException)):
                    raise NoAnswerError(BROKEN) from None
                raise
            if reusable:
                self._idle.append(connection)
            else:
                connection.close()
            return answer

    def close(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    # A sender is not told when it is needed no more: the pool ends with whoever holds it.
    __del__ = close

    def _connected(self) -> "_Connection":
        """Return an open connection: one that is idle, else a new one."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if connection.is_alive():
                connection.sock.settimeout(self._connect_timeout_s)
                return connection
            connection.close()
        connection = self._new()
        connection.connect()
        return connection

    def _new(self) -> "_Connection":
        if self._tls is None:
            return _Connection(self._host, self._port or 80, timeout=self._connect_timeout_s)
        return _TlsConnection(
            self._host, self._port or 443, timeout=self._connect_timeout_s, context=self._tls
        )


class _Response(http.client.HTTPResponse):
    """An answer whose read time-out covers it all, from status line to last byte.

    The library's own time-out starts anew with every byte, so a trickle could last for ever.
    """

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(_Until(sock), *args, **kwargs)  # type: ignore[arg-type]


class _Until(io.RawIOBase):
    """The incoming bytes of a socket, as long as its time-out, counted from now, lasts."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        timeout_s = sock.gettimeout()
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s

    def makefile(self, _: str) -> io.BufferedReader:
        """Return the bytes buffered: what the library asks its socket for."""
        return io.BufferedReader(self)

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


class _Connection(http.client.HTTPConnection):
    """A connection that says for sure when nothing was sent: whatever fails in connecting."""

    def connect(self) -> None:
        try:
            super().connect()
        except (OSError, ValueError) as error:
            why = _why_not_connected(error, reached=self.sock is not None)
            self.close()
            raise NotSentError(why) from error

    def is_alive(self) -> bool:
        """Whether the other side keeps it open: one that it has closed has its end to read."""
        return not wait_for_read(self.sock, timeout=0.0)

    def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        read_timeout_s: float,
    ) -> tuple[_Answer, bool]:
        """Send a request and read its answer; also return whether another may follow.

        Head and body leave together, in one packet and one TLS record instead of two. Requests
        has encoded the path and checked the headers when it prepared them.

        Raises:
            OSError, http.client.HTTPException: it broke off on the way.
        """
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        head = f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n"
        self.sock.sendall(head.encode("latin-1") + (body or b""))
        self.sock.settimeout(read_timeout_s)
        with closing(_Response(self.sock, method=method)) as response:
            response.begin()
            # Only a length that is known lets the library see that a body was cut off.
            known = response.length is not None and response.length <= LONGEST_ANSWER
            content = response.read() if known else response.read(LONGEST_ANSWER + 1)
            # After an interim answer (1xx) that the library takes for the last, another comes.
            final = response.status >= http.client.OK
            reusable = final and response.isclosed() and not response.will_close
            return _Answer(response.status, response.headers, io.BytesIO(content)), reusable


class _TlsConnection(_Connection, http.client.HTTPSConnection):
    """The same with TLS; a failed handshake is a failure to connect."""

    def is_alive(self) -> bool:
        """Whether it is open, and nothing is left of an earlier answer."""
        return not self.sock.pending() and super().is_alive()


def _why_not_connected(error: Exception, *, reached: bool) -> str:
    """Return what an operator is told."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return "The name of WhatsApp's server could not be looked up: check the network's DNS."
    if isinstance(error, TimeoutError):
        return "WhatsApp's server took no connection in time."
    if isinstance(error, ssl.SSLError):
        return "No secure connection to WhatsApp: check clock, certificates and proxy."
    if reached:
        return "WhatsApp's server broke off the connection before anything was sent."
    return "WhatsApp's server could not be reached: check the network."
