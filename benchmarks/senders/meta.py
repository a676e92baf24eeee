"""What Meta does: signed posts of statuses, over a few connections that stay open.

    python meta.py HOST PORT SECRET PHONE_NUMBER_ID POSTS STATUSES RATE

Each post holds STATUSES statuses of messages that were in none before. RATE is posts a second, 0:
as fast as the connections take them. It prints, as one JSON object, how long all took, and how long
each post waited for its 200: since its turn came, so that a service that falls behind is seen.
"""

import asyncio
import hmac
import json
import sys
import time
from collections.abc import Iterator
from hashlib import sha256

_CONNECTIONS = 32


def _request(number: int, statuses: int, secret: bytes, phone_number_id: str) -> bytes:
    said = [
        {
            "id": f"wamid.HBgNNTUxMTk4NzY1NDMyMRUC{number:08d}{n:04d}",
            "status": "delivered",
            "timestamp": str(int(time.time())),
            "recipient_id": "5511987654321",
            "recipient_user_id": "BR.1A2b",
            "biz_opaque_callback_data": f"a1b2c3d4:{number}:1",
            "pricing": {"billable": True, "pricing_model": "PMP", "category": "utility"},
        }
        for n in range(statuses)
    ]
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"phone_number_id": phone_number_id},
        "statuses": said,
    }
    entry = {"id": "1", "changes": [{"field": "messages", "value": value}]}
    body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
    signature = hmac.new(secret, body, sha256).hexdigest()
    head = (
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nX-Hub-Signature-256: sha256={signature}\r\n\r\n"
    )
    return head.encode() + body


async def _post(host: str, port: int, requests: list[bytes], rate: float) -> None:
    taken: list[float] = []
    turns = iter(enumerate(requests))
    began_s = time.perf_counter()

    async def connection(turns: Iterator[tuple[int, bytes]]) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        for number, request in turns:
            turn_s = began_s + number / rate if rate else time.perf_counter()
            await asyncio.sleep(max(0.0, turn_s - time.perf_counter()))
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"answered with {head[:15]!r}")
            taken.append(time.perf_counter() - turn_s)
        writer.close()

    await asyncio.gather(*(connection(turns) for _ in range(min(_CONNECTIONS, len(requests)))))
    json.dump({"all_s": time.perf_counter() - began_s, "each_s": taken}, sys.stdout)


if __name__ == "__main__":
    host, port, secret, phone_number_id, posts, statuses, rate = sys.argv[1:]
    first = time.time_ns() // 1_000_000 % 100_000_000
    made = [
        _request(first + n, int(statuses), secret.encode(), phone_number_id)
        for n in range(int(posts))
    ]
    asyncio.run(_post(host, int(port), made, float(rate)))
