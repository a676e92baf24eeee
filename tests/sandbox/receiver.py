"""A small webhook that checks signatures on raw bytes and keeps what it was told."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

APP_SECRET = "made-up-secret"
VERIFY_TOKEN = "made-up-token"


class Receiver:
    """What the webhook was told, and what it answers.

    Attributes:
        url: its address.
        bodies: raw bodies with a good signature that were answered with 200, in their order.
        forged: how many posts had another signature, or none.
        refused: how many posts were answered otherwise.
        answers: statuses to give to the next posts instead of 200; 0 hangs up.
        challenge: what to answer a handshake with instead of its challenge.
    """

    def __init__(self) -> None:
        """Nothing was heard yet."""
        self.url = ""
        self.bodies: list[bytes] = []
        self.forged = 0
        self.refused = 0
        self.answers: list[int] = []
        self.challenge: str | None = None

    @property
    def payloads(self) -> list[Any]:
        """The bodies as JSON values."""
        return [json.loads(body) for body in self.bodies]

    @property
    def values(self) -> list[Any]:
        """The value of every change, in the order of arrival."""
        return [
            change["value"]
            for payload in self.payloads
            for entry in payload["entry"]
            for change in entry["changes"]
        ]

    @property
    def statuses(self) -> list[Any]:
        """Every status, in the order of arrival."""
        return [status for value in self.values for status in value.get("statuses", ())]

    @property
    def messages(self) -> list[Any]:
        """Every message of a person, in the order of arrival."""
        return [message for value in self.values for message in value.get("messages", ())]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A webhook on a port of its own."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Print nothing."""

        def do_GET(self) -> None:
            query = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
            right = query["hub.mode"] == "subscribe" and query["hub.verify_token"] == VERIFY_TOKEN
            self.answer(200 if right else 403, receiver.challenge or query["hub.challenge"])

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            expected = hmac.new(APP_SECRET.encode(), body, hashlib.sha256).hexdigest()
            if self.headers["X-Hub-Signature-256"] != f"sha256={expected}":
                receiver.forged += 1
                self.answer(401)
                return
            status = receiver.answers.pop(0) if receiver.answers else 200
            if status == 200:
                receiver.bodies.append(body)
            else:
                receiver.refused += 1
            if status == 0:
                self.close_connection = True
            else:
                self.answer(status)

        def answer(self, status: int, text: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}/webhook"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()
