"""Definitions, requests and a plain ``requests`` client for the sandbox's tests."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import requests

from smartia_jobs.sandbox import PHONE_NUMBER_ID, WABA_ID

PHONE = "+5511987654321"

NAMED: Mapping[str, Any] = {
    "name": "lembrete",
    "language": "pt_BR",
    "category": "UTILITY",
    "parameter_format": "NAMED",
    "message_send_ttl_seconds": 21_600,
    "components": [
        {
            "type": "BODY",
            "text": "Olá {{nome}}, lembramos sua consulta em {{quando}}. Até lá!",
            "example": {
                "body_text_named_params": [
                    {"param_name": "nome", "example": "Ana"},
                    {"param_name": "quando", "example": "10/12 às 9:00"},
                ]
            },
        },
        {"type": "FOOTER", "text": "Clínica Aurora"},
        {
            "type": "BUTTONS",
            "buttons": [{"type": "PHONE_NUMBER", "text": "Ligar", "phone_number": "+551130000000"}],
        },
    ],
}

NUMBERED: Mapping[str, Any] = {
    "name": "convite",
    "language": "pt_BR",
    "category": "MARKETING",
    "components": [
        {
            "type": "HEADER",
            "format": "TEXT",
            "text": "Para {{1}}",
            "example": {"header_text": ["Ana"]},
        },
        {
            "type": "BODY",
            "text": "Sentimos sua falta em {{1}}. Marque um novo horário às {{2}} conosco.",
            "example": {"body_text": [["10/12", "9:00"]]},
        },
    ],
}

BUTTONS: Mapping[str, Any] = {
    "name": "botoes",
    "language": "pt_BR",
    "category": "UTILITY",
    "components": [
        {"type": "BODY", "text": "Sua consulta está marcada."},
        {
            "type": "BUTTONS",
            "buttons": [
                {"type": "QUICK_REPLY", "text": "Confirmar"},
                {
                    "type": "URL",
                    "text": "Detalhes",
                    "url": "https://clinica.example/c/{{1}}",
                    "example": ["abc"],
                },
            ],
        },
    ],
}


def text(value: object, name: str | None = None) -> dict[str, object]:
    """Return one text parameter."""
    parameter = {"type": "text", "text": value}
    return parameter if name is None else {**parameter, "parameter_name": name}


def body(*parameters: Mapping[str, object]) -> dict[str, object]:
    """Return the body component of a message."""
    return {"type": "body", "parameters": list(parameters)}


def reminder(
    *,
    to: object = PHONE,
    template: str = "lembrete",
    language: str = "pt_BR",
    components: Sequence[object] = (body(text("Ana", "nome"), text("10/12 às 9:00", "quando")),),
    **fields: object,
) -> dict[str, object]:
    """Return a message that the sandbox accepts, unless something is given otherwise."""
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": to,
        "type": "template",
        "template": {
            "name": template,
            "language": {"code": language},
            "components": list(components),
        },
        **fields,
    }


class Graph:
    """A client of the sandbox that adds the token and the version."""

    def __init__(self, url: str) -> None:
        """Open no connection yet."""
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = "Bearer EAAtoken"

    def send(self, message: object = None, **options: Any) -> requests.Response:
        """POST a message (an acceptable one unless told otherwise)."""
        message = reminder() if message is None else message
        options = {"json": message, **options} if "data" not in options else options
        return self.post(f"{PHONE_NUMBER_ID}/messages", **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        """POST to a Graph path."""
        return self.session.post(f"{self.url}/v25.0/{path}", timeout=30, **options)

    def get(self, path: str, **query: object) -> requests.Response:
        """GET a Graph path."""
        return self.session.get(f"{self.url}/v25.0/{path}", params=query, timeout=30)  # type: ignore[arg-type]

    def templates(self, **query: object) -> requests.Response:
        """GET the listing of templates."""
        return self.get(f"{WABA_ID}/message_templates", **query)

    def create(self, definition: object) -> requests.Response:
        """POST a template's definition."""
        return self.post(f"{WABA_ID}/message_templates", json=definition)

    def control(self, method: str, path: str, **options: Any) -> requests.Response:
        """Call one of the sandbox's own endpoints."""
        return self.session.request(method, f"{self.url}/{path}", timeout=30, **options)

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self.session.close()


def error_of(response: requests.Response) -> tuple[int, int, int | None]:
    """Return HTTP status, Graph code and subcode of a refusal."""
    error = response.json()["error"]
    return response.status_code, error["code"], error.get("error_subcode")


def wait_until(holds: Callable[[], bool]) -> None:
    """Return as soon as it holds; fail when it does not within half a minute."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)
