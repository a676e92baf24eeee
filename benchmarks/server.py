"""A server that answers like WhatsApp's, after a fixed time, and is never the bottleneck.

    python server.py LATENCY_MS CERTIFICATE KEY

It listens on loopback, prints its port, and serves until its standard input ends; then it
prints, as one JSON list, the second at which each message arrived.
"""

import asyncio
import json
import ssl
import sys
import threading
import time

_ANSWER = (
    b'{"messaging_product":"whatsapp","contacts":[{"input":"+5511987654321",'
    b'"wa_id":"5511987654321"}],"messages":[{"id":"wamid.HBgNNTUxMTk4NzY1NDMyMRUC%010d",'
    b'"message_status":"accepted"}]}'
)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: "

#: Nothing that is measured here takes longer; a server that was forgotten ends by itself.
_LONGEST_S = 1800


class Connection(asyncio.Protocol):
    """One kept-alive connection: reads requests by their length, answers each a while later."""

    latency_s = 0.0
    arrived: list[float] = []  # noqa: RUF012 - one list for all connections is what is wanted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (head := self.received.find(b"\r\n\r\n")) >= 0:
            length = 0
            at = self.received[:head].lower().find(b"content-length:")
            if at >= 0:
                length = int(self.received[at + 15 : head].split(b"\r\n", 1)[0])
            end = head + 4 + length
            if len(self.received) < end:
                return
            self.received = self.received[end:]
            self.arrived.append(time.monotonic())
            answer = _ANSWER % len(self.arrived)
            whole = _HEAD + b"%d\r\n\r\n" % len(answer) + answer
            if self.latency_s:
                asyncio.get_running_loop().call_later(self.latency_s, self.answer, whole)
            else:
                self.answer(whole)

    def answer(self, whole: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(whole)  # type: ignore[attr-defined]


async def _serve(latency_ms: float, certificate: str, key: str) -> None:
    Connection.latency_s = latency_ms / 1000
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    # A thread reads standard input: the loop itself cannot wait for a plain file.
    threading.Thread(
        target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(over.set)), daemon=True
    ).start()
    server = await loop.create_server(Connection, "127.0.0.1", 0, ssl=tls, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with asyncio.timeout(_LONGEST_S):
        await over.wait()
    print(json.dumps(Connection.arrived), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), sys.argv[2], sys.argv[3]))
