"""What Meta's webhook posts: changes, the envelope around them, and its signature.

Source: Meta's pages of the webhooks (status messages, messages, business-scoped user ids),
editions of 2026.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """One piece of news from Meta.

    Attributes:
        field: what an app subscribes to: ``messages``, ``account_update``, ...
        value: its content.
    """

    field: str
    value: Mapping[str, object]


def of_number(phone: Mapping[str, object], field: str, **parts: object) -> Change:
    """Return news of a number's chats; ``phone`` holds the number's Graph fields."""
    metadata = {
        "display_phone_number": display_digits(phone),
        "phone_number_id": phone["id"],
    }
    return Change(field, {"messaging_product": "whatsapp", "metadata": metadata, **parts})


def display_digits(phone: Mapping[str, object]) -> str:
    """Return the number as webhooks write it."""
    return "".join(filter(str.isdigit, str(phone["display_phone_number"])))


def contact(*, name: str, wa_id: str | None, user_id: str) -> dict[str, object]:
    """Return who a message is from or for; ``wa_id`` is None when the phone is hidden."""
    about: dict[str, object] = {"profile": {"name": name}}
    if wa_id is not None:
        about["wa_id"] = wa_id
    return {**about, "user_id": user_id}


def body_of(waba_id: str, entries: Sequence[Sequence[Change]], *, at: int) -> bytes:
    r"""Return one post's body, non-ASCII characters written as ``\\u00e3``.

    Args:
        waba_id: whose account it is.
        entries: the changes of each entry.
        at: Unix seconds; news of the account carries it.
    """
    payload = {
        "object": "whatsapp_business_account",
        "entry": [_entry(waba_id, changes, at) for changes in entries],
    }
    return json.dumps(payload, separators=(",", ":")).encode("ascii")


def signature(body: bytes, app_secret: str) -> str:
    """Return the header ``X-Hub-Signature-256`` of a body."""
    return "sha256=" + hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()


def _entry(waba_id: str, changes: Sequence[Change], at: int) -> dict[str, object]:
    joined = [{"value": change.value, "field": change.field} for change in _joined(changes)]
    of_account = any("metadata" not in change.value for change in changes)
    return {"id": waba_id, **({"time": at} if of_account else {}), "changes": joined}


def _joined(changes: Sequence[Change]) -> list[Change]:
    """Return the changes with the statuses of each shape in one; failed ones have no contacts."""
    by_shape: dict[frozenset[str], dict[str, object]] = {}
    joined = []
    for change in changes:
        shape = frozenset(change.value)
        if "statuses" in shape and shape in by_shape:
            for name in shape & {"statuses", "contacts"}:
                _list(by_shape[shape][name]).extend(_list(change.value[name]))
            continue
        value = {k: list(v) if isinstance(v, list) else v for k, v in change.value.items()}
        if "statuses" in shape:
            by_shape[shape] = value
        joined.append(Change(change.field, value))
    return joined


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
