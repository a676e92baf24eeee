"""What Meta posts, signed as Meta signs it."""

import hmac
import json
from hashlib import sha256
from typing import Any

PHONE_NUMBER_ID = "106540352242922"
SECRET = "0123456789abcdef0123456789abcdef"


def status(wamid: str = "wamid.OUT1", said: str = "delivered", **more: Any) -> dict[str, Any]:
    """Return one status in Meta's shape."""
    usual = {"timestamp": "1795000007", "recipient_id": "554198765432"}
    return {"id": wamid, "status": said, **usual, **more}


def failed(wamid: str = "wamid.OUT1", code: Any = 131026, **more: Any) -> dict[str, Any]:
    """Return a failure, which comes without contacts."""
    return status(wamid, "failed", errors=[{"code": code, "title": "not delivered"}], **more)


def written(body: str = "Sim", message_id: str = "wamid.IN1", **more: Any) -> dict[str, Any]:
    """Return one text that a patient wrote."""
    return message("text", message_id, text={"body": body}, **more)


def message(kind: str, message_id: str = "wamid.IN1", **more: Any) -> dict[str, Any]:
    """Return one message of a patient."""
    usual = {"from": "554198765432", "timestamp": "1795000100"}
    return {"id": message_id, "type": kind, **usual, **more}


def value(**more: Any) -> dict[str, Any]:
    """Return what stands in a change of the field ``messages``."""
    metadata = {"display_phone_number": "554130000000", "phone_number_id": PHONE_NUMBER_ID}
    return {"messaging_product": "whatsapp", "metadata": metadata, **more}


def post(*changes: Any, field: str = "messages", **more: Any) -> dict[str, Any]:
    """Return a post with one entry for each change."""
    entries = [
        {"id": "WABA", "time": 1795000300, "changes": [{"field": field, "value": one}]}
        for one in changes
    ]
    return {"object": "whatsapp_business_account", "entry": entries, **more}


def encoded(payload: Any) -> bytes:
    """Return a body as Meta writes it: other letters as escapes."""
    return json.dumps(payload).encode()


def signature(body: bytes, secret: str = SECRET) -> str:
    """Return the header's value."""
    return "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest()
