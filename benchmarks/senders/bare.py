"""The floor: a tuned loop of threads over requests that records nothing (speed.md's fastest).

python bare.py URL CA_BUNDLE MESSAGES WORKERS
"""

import json
import ssl
import sys
import threading
from itertools import count

import requests
from requests.adapters import HTTPAdapter


class _Adapter(HTTPAdapter):
    """One certificate store for all connections, as many connections as threads."""

    def __init__(self, size: int, tls: ssl.SSLContext) -> None:
        self._tls = tls
        super().__init__(pool_connections=1, pool_maxsize=size, pool_block=True)

    def init_poolmanager(self, *args: object, **kwargs: object) -> None:
        super().init_poolmanager(*args, ssl_context=self._tls, **kwargs)  # type: ignore[arg-type]

    def cert_verify(self, *args: object) -> None:
        """Add no certificates: the context has them."""


def body(number: int) -> bytes:
    """Return a request as Meta takes it: the 650 bytes of a reminder with four parameters."""
    parameters = {
        "paciente": "Marina",
        "data": "segunda-feira, 23 de novembro",
        "hora": "14:30",
        "clinica": "Clínica Aurora",
    }
    return json.dumps(
        {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": f"+55119{number % 10**8:08}",
            "type": "template",
            "template": {
                "name": "smartia_lembrete_24h",
                "language": {"code": "pt_BR"},
                "components": [
                    {
                        "type": "body",
                        "parameters": [
                            {"type": "text", "parameter_name": name, "text": text}
                            for name, text in parameters.items()
                        ],
                    }
                ],
            },
            "biz_opaque_callback_data": str(number),
        },
        separators=(",", ":"),
    ).encode()


def main(url: str, bundle: str, messages: int, workers: int) -> None:
    adapter = _Adapter(workers, ssl.create_default_context(cafile=bundle))
    headers = {"Authorization": "Bearer made-up", "Content-Type": "application/json"}
    prepared = requests.Request("POST", f"{url}/v25.0/1/messages", headers=headers).prepare()
    numbers = count()

    def work() -> None:
        while (number := next(numbers)) < messages:
            request = prepared.copy()
            request.body = body(number)
            request.headers["Content-Length"] = str(len(request.body))
            answer = adapter.send(request, timeout=(5, 30))
            if answer.status_code != 200 or not answer.json()["messages"][0]["id"]:
                raise SystemExit(f"the server said {answer.status_code}")

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
