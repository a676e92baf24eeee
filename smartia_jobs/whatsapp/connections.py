"""Connections that know what was sent: one TLS context, total read time-outs, sure failures."""

import queue
import socket
import ssl
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.util import wait_for_read

from smartia_jobs.errors import InterruptedRunError

#: Meta's answers are a few hundred bytes; what is longer is not Meta's.
LONGEST_ANSWER = 1 << 20
#: The same for all that comes with it: status, headers, interim answers, chunks' lengths.
_LONGEST_REST = 1 << 16
#: Bytes taken at once, as many as fit into a TLS record.
_AT_ONCE = 1 << 14

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


class _Answer:
    """One answer, put together by its parser; interim answers (1xx) are passed over.

    It cannot be one to HEAD, which tells a length and has no body.

    Attributes:
        status: the HTTP status; 0 before the answer's headers have ended.
        headers: looked up without regard to case.
        complete: whether nothing more of it is read.
        reusable: whether the other side waits for another request afterwards.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        self.complete = self.reusable = False
        self.parser = HttpResponseParser(self)
        self._body = bytearray()
        self._received = 0

    def read(self, size: int) -> bytes:
        """Return the body, cut to ``size``."""
        return bytes(self._body[:size])

    def receive(self, data: bytes) -> None:
        """Take in what came next.

        Raises:
            HttpParserError, HttpParserUpgrade: this is no answer, or none of reasonable length.
            InterruptedRunError: a signal arrived meanwhile.
        """
        try:
            self.parser.feed_data(data)
        except HttpParserError as error:
            if isinstance(error.__context__, InterruptedRunError):
                raise error.__context__ from None  # a signal came while it was parsed
            if not self.complete:
                raise
            self.reusable = False  # more came than was asked for
        self._received += len(data)
        if self._received > LONGEST_ANSWER + _LONGEST_REST and not self.complete:
            self._break_off()

    def end(self) -> None:
        """Take note that no more will come: so ends an answer that tells no length.

        Raises:
            HttpParserError: it was cut off.
        """
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            raise HttpParserError("cut off")  # of that length or coding something is missing
        self._break_off()

    def _break_off(self) -> None:
        if not self.status:
            raise HttpParserError("there is not even a status")
        self.complete = True

    # What the parser calls

    def on_message_begin(self) -> None:
        if self.complete:
            raise ValueError("a second answer to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1")] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        if self.status < HTTPStatus.OK:
            self.status = 0
            self.headers.clear()
            return
        self.complete = True
        self.reusable = self.parser.should_keep_alive()


class _Pool:
    """Kept-alive connections to one host; the one that was used last is used next."""

    def __init__(
        self, root: str, size: int, timeouts_s: tuple[float, float], tls: ssl.SSLContext
    ) -> None:
        self._idle: deque[_Connection] = deque()
        parts = urlsplit(root)
        self._tls = tls if parts.scheme == "https" else None
        self._host, self._port = parts.hostname or "", parts.port or (443 if self._tls else 80)
        self._connect_timeout_s, self._read_timeout_s = timeouts_s
        # A semaphore with fewer steps: whoever takes one of these may use a connection.
        self._places: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(size):
            self._places.put(None)

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

        Whatever else requests passes is for pools that do more. That includes ``chunked``: it
        believes so of a body whose length is no header yet, and the length is sent all the same.

        Raises:
            NotSentError: no connection; nothing left this machine.
            NoAnswerError: whether the request arrived is not known.
        """
        self._places.get()
        try:
            connection = self._connected()
            try:
                answer = connection.exchange(
                    method, url, body, headers, read_timeout_s=self._read_timeout_s
                )
            except BaseException:
                connection.close()
                raise
            if answer.reusable:
                self._idle.append(connection)
            else:
                connection.close()
            return answer
        except TimeoutError:
            raise NoAnswerError("WhatsApp did not answer in time.") from None
        except (OSError, HttpParserError, HttpParserUpgrade):
            raise NoAnswerError(BROKEN) from None
        finally:
            self._places.put(None)

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
                return connection
            connection.close()
        return _Connection(self._host, self._port, self._connect_timeout_s, self._tls)


class _Connection:
    """A connection that says for sure when nothing was sent: whatever fails in connecting."""

    def __init__(self, host: str, port: int, timeout_s: float, tls: ssl.SSLContext | None) -> None:
        """Connect.

        Raises:
            NotSentError: it did not come about.
        """
        sock: socket.socket | None = None
        try:
            sock = socket.create_connection((host, port), timeout_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sock = tls.wrap_socket(sock, server_hostname=host) if tls else sock
        except (OSError, ValueError) as error:
            if sock is not None:
                sock.close()
            raise NotSentError(_why_not_connected(error, reached=sock is not None)) from error
        self._timeout_s = timeout_s

    def is_alive(self) -> bool:
        """Whether it is open, and nothing is left of an earlier answer.

        One that the other side has closed has its end to read.
        """
        left = self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0
        return not left and not wait_for_read(self._sock, timeout=0.0)

    def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        read_timeout_s: float,
    ) -> _Answer:
        """Send a request and read its answer.

        Head and body leave together, in one packet and one TLS record instead of two. Requests
        has encoded the path and checked the headers when it prepared them.

        Raises:
            OSError, HttpParserError, HttpParserUpgrade: it broke off on the way.
        """
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        if body is not None or method != "GET":
            lines.append(f"Content-Length: {len(body or b'')}\r\n")
        head = f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n"
        self._sock.settimeout(self._timeout_s)
        self._sock.sendall(head.encode("latin-1") + (body or b""))
        # A time-out of a socket starts anew with every byte, so a trickle could last for ever.
        deadline_s = time.monotonic() + read_timeout_s
        answer = _Answer()
        try:
            while not answer.complete:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError("the answer took too long")
                self._sock.settimeout(left_s)
                data = self._sock.recv(_AT_ONCE)
                if data:
                    answer.receive(data)
                else:
                    answer.end()
            return answer
        finally:
            del answer.parser  # it knows the answer: no circle stays behind

    def close(self) -> None:
        self._sock.close()


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
