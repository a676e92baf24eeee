"""Sending one message, and handing back what its answer means."""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from smartia_jobs.errors import ConfigurationError
from smartia_jobs.message import Answer, CallbackData, Message, Phone, Verdict
from smartia_jobs.settings import Settings
from smartia_jobs.whatsapp.answers import classify
from smartia_jobs.whatsapp.connections import NoAnswerError, NotSentError
from smartia_jobs.whatsapp.transport import Transport

#: ``json.dumps`` would make an encoder for each message.
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Client:
    """The clinic's number at WhatsApp; safe to use from as many threads as it has workers.

    Args:
        settings: token, number and address.
        workers: how many messages may be under way at once.
        transport: to share one with others; by default the client has its own.

    Raises:
        ConfigurationError: the token or the number's id is not set, naming what is missing.
    """

    def __init__(
        self, settings: Settings, *, workers: int, transport: Transport | None = None
    ) -> None:
        """Prepare everything that all messages share; connect to nothing yet."""
        needed = {
            "META_ACCESS_TOKEN": settings.meta_access_token,
            "META_PHONE_NUMBER_ID": settings.meta_phone_number_id,
        }
        missing = [f"{name} is not set." for name, value in needed.items() if not value]
        if missing:
            raise ConfigurationError(missing)
        self._transport = transport or Transport(settings, workers=workers)
        number = quote(settings.meta_phone_number_id or "", safe="")
        self._request = self._transport.prepare("POST", f"{number}/messages")

    def send(self, phone: Phone, message: Message, *, callback: CallbackData) -> Answer:
        """Try once to send one message, and say what came of it; no network trouble raises.

        Args:
            phone: to whom.
            message: what, already cleaned as Meta demands.
            callback: comes back unchanged in delivery statuses and, without the attempt, after
                the meaning of a quick reply and a colon, when that is tapped.
        """
        try:
            reply = self._transport.send(self._request, _body(phone, message, callback))
        except NotSentError as error:
            return Answer(Verdict.RETRY, str(error), from_graph=False)
        except NoAnswerError as error:
            return Answer(Verdict.UNKNOWN, str(error), from_graph=False)
        answer = classify(reply.status, reply.body, reply.headers)
        return replace(answer, answered_at=reply.answered_at)

    def close(self) -> None:
        """Close every idle connection."""
        self._transport.close()


def _body(phone: Phone, message: Message, callback: CallbackData) -> bytes:
    """Write the request's JSON.

    Source: Meta, "Send messages" (2026-09).
    """
    content = _template(message, callback) if message.reply_to is None else _free_text(message)
    return _encode(
        {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": phone.wire,
            **content,
            "biz_opaque_callback_data": str(callback),
        }
    ).encode()


def _free_text(message: Message) -> dict[str, Any]:
    """Write a reply to what the patient wrote or tapped, without the preview of a link."""
    return {
        **({"context": {"message_id": message.reply_to}} if message.reply_to else {}),
        "type": "text",
        "text": {"preview_url": False, "body": message.text},
    }


def _template(message: Message, callback: CallbackData) -> dict[str, Any]:
    template: dict[str, Any] = {"name": message.template, "language": {"code": message.language}}
    components = _quick_replies(message, callback)
    if message.parameters:
        parameters = [
            {"type": "text", **({"parameter_name": name} if message.named else {}), "text": value}
            for name, value in message.parameters.items()
        ]
        components.insert(0, {"type": "body", "parameters": parameters})
    if components:
        template["components"] = components
    return {"type": "template", "template": template}


def _quick_replies(message: Message, callback: CallbackData) -> list[dict[str, Any]]:
    """Write what a tap on each quick reply sends back: ours names the message, others are left."""
    ours = {index: f"{means}:{callback.message}" for index, means in message.meanings.items()}
    payloads = {**message.payloads, **ours}
    return [
        {
            "type": "button",
            "sub_type": "quick_reply",
            "index": str(index),
            "parameters": [{"type": "payload", "payload": payload}],
        }
        for index, payload in sorted(payloads.items())
    ]
