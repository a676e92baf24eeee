"""HTTP on 127.0.0.1: one thread a connection, keep-alive, and nothing left when closed."""

import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from http.client import responses
from http.server import BaseHTTPRequestHandler
from typing import cast
from urllib.parse import parse_qsl

from smartia_jobs.sandbox.exchange import GraphError, Reply, Request

_MAX_BODY = 1024 * 1024
_MAX_DRAINED = 16 * _MAX_BODY


class Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A threading server that knows its connections, so that it can end them.

    Args:
        port: 0 takes a free one.
        answer: called with each request, in the thread of its connection; None ends the
            connection without an answer.

    Attributes:
        closing: set as soon as it is being closed.
    """

    allow_reuse_address = True
    request_queue_size = 1024  # hundreds of workers connect at the same moment
    block_on_close = False  # close() joins, after it has cut the connections

    def __init__(self, port: int, answer: Callable[[Request], Reply | None]) -> None:
        """Listen; connections wait until it is started."""
        self.answer = answer
        self.closing = threading.Event()
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.02,), name="sandbox", daemon=True
        )

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread.start()

    def process_request(self, request: object, client_address: object) -> None:
        """Give a new connection its thread."""
        thread = threading.Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name="sandbox-connection",
            daemon=True,
        )
        with self._lock:  # held until it is entered, so that the thread cannot leave before
            thread.start()
            self._connections[thread] = cast(socket.socket, request)

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Serve one connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                del self._connections[threading.current_thread()]

    def close(self) -> None:
        """Cut every connection and wait until all threads have ended."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        self._thread.join()
        with self._lock:
            connections = dict(self._connections)
        for connection in connections.values():
            with suppress(OSError):  # it ended by itself
                connection.shutdown(socket.SHUT_RDWR)
        for thread in connections:
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Listener
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 75  # seconds a connection may be idle

    def handle(self) -> None:
        with suppress(ConnectionError):  # the client hung up, as clients may
            super().handle()

    def log_message(self, *_: object) -> None:
        """Log nothing: requests hold phones and, to debug_token, tokens."""

    def do_GET(self) -> None:
        try:
            body = self._body()
        except GraphError as error:
            self.close_connection = True  # where the next request starts is not known
            self._write(error.reply())
            self._drain()
            return
        path, _, query = self.path.partition("?")
        reply = self.server.answer(
            Request(
                method=self.command,
                path=path,
                query=dict(reversed(parse_qsl(query))),
                authorization=self.headers.get("Authorization"),
                host=self.headers.get("Host", "127.0.0.1"),
                body=body,
            )
        )
        if reply is None:
            self.close_connection = True
        else:
            self._write(reply)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _body(self) -> bytes:
        if "Transfer-Encoding" in self.headers:
            raise GraphError(100, "Length required", status=411)
        declared = self.headers.get("Content-Length", "0").strip()
        if not (declared.isascii() and declared.isdigit()):
            raise GraphError(100, "Content-Length is not a number")
        if len(declared) > len(str(_MAX_BODY)) or int(declared) > _MAX_BODY:
            raise GraphError(100, "The request is too large", status=413)
        body = self.rfile.read(int(declared))
        if len(body) < int(declared):
            raise GraphError(100, "The request ended early")
        return body

    def _write(self, reply: Reply) -> None:
        # Head and body in one packet; http.server would send them in two.
        headers = {
            "Server": "smartia-jobs-sandbox",
            "Content-Type": reply.content_type,
            "Content-Length": str(len(reply.body)),
            "Connection": "close" if self.close_connection else "keep-alive",
            **reply.headers,
        }
        lines = [
            f"HTTP/1.1 {reply.status} {responses.get(reply.status, '')}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        head = "\r\n".join(lines) + "\r\n\r\n"
        self.wfile.write(head.encode("latin-1", "replace") + reply.body)

    def _drain(self) -> None:
        # Read on, within bounds: closing with unread data would reset the connection
        # and take the answer away from the client.
        with suppress(OSError):  # it has hung up already
            self.connection.shutdown(socket.SHUT_WR)
        left = _MAX_DRAINED
        while left > 0 and (chunk := self.rfile.read(65536)):
            left -= len(chunk)
