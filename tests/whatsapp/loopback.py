"""A server on loopback whose side of the talk is a function: for faults no real server has."""

import re
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import cycle, islice
from pathlib import Path

import pytest


class Loopback:
    """Where it listens, and what it was asked."""

    def __init__(self, port: int, scheme: str) -> None:
        self.url = f"{scheme}://127.0.0.1:{port}"
        self.connections = 0
        self.requests: list[bytes] = []
        self.closing = threading.Event()


#: The server's side of one connection, which is closed when it returns.
Talk = Callable[[socket.socket, Loopback], object]


@contextmanager
def loopback(talk: Talk, tls: ssl.SSLContext | None = None) -> Iterator[Loopback]:
    """Serve at most 50 connections, each in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Loopback(listener.getsockname()[1], "https" if tls else "http")
    threads: list[threading.Thread] = []

    def hold(connection: socket.socket) -> None:
        connection.settimeout(10)
        # The client may be gone at any time: that is what many of the tests are about.
        with connection, suppress(OSError):
            if tls:
                with tls.wrap_socket(connection, server_side=True) as wrapped:
                    talk(wrapped, server)
            else:
                talk(connection, server)

    def accept() -> None:
        for _ in range(50):
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            server.connections += 1
            threads.append(threading.Thread(target=hold, args=(connection,)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield server
    finally:
        server.closing.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        listener.close()
        for thread in [acceptor, *threads]:
            thread.join(timeout=10)


def read_request(connection: socket.socket, server: Loopback) -> bool:
    """Read one request with its body; False when the client has gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return False
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    while length and len(body) < int(length[1]):
        body += connection.recv(65536)
    server.requests.append(head + b"\r\n\r\n" + body)
    return True


def answer(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    """Write an answer with its length."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def answering(*answers: bytes) -> Talk:
    """Give these answers in order, the last one again and again, on connections that stay open."""

    def talk(connection: socket.socket, server: Loopback) -> None:
        while read_request(connection, server):
            connection.sendall(answers[min(len(server.requests), len(answers)) - 1])

    return talk


def reset(connection: socket.socket, server: Loopback) -> None:
    """Close in the rudest way."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hang_up(connection: socket.socket, server: Loopback) -> None:
    """Say nothing more."""


def be_silent(connection: socket.socket, server: Loopback) -> None:
    """Say nothing, and stay."""
    server.closing.wait(10)


def trickling(data: bytes) -> Talk:
    """Send these bytes over and over, one each 20 ms, for four seconds."""

    def talk(connection: socket.socket, server: Loopback) -> None:
        for byte in islice(cycle(data), 200):
            connection.sendall(bytes([byte]))
            server.closing.wait(0.02)

    return talk


def saying(data: bytes, then: Talk = hang_up) -> Talk:
    """Send these bytes, then go on."""

    def talk(connection: socket.socket, server: Loopback) -> None:
        connection.sendall(data)
        then(connection, server)

    return talk


def after_request(then: Talk) -> Talk:
    """Read one request, then go on."""

    def talk(connection: socket.socket, server: Loopback) -> None:
        read_request(connection, server)
        then(connection, server)

    return talk


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that nobody but the test trusts."""
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("openssl is not installed")
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    request = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        " -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    files = ["-keyout", str(path.with_suffix(".key")), "-out", str(path)]
    subprocess.run([openssl, *request.split(), *files], check=True, capture_output=True)
    return path


def server_tls(certificate: Path) -> ssl.SSLContext:
    """What the server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context
