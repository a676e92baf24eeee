"""One request and its reply as plain values, and what every Graph answer has in common."""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

#: HTTP status by error code, as last documented; every other code is a 400. Throttles too.
#: Source: Meta's error code page, edition of November 2025 (the column is gone since 2026).
_STATUS_BY_CODE = {
    **dict.fromkeys((0, 190), 401),
    **dict.fromkeys((10, 368, 130497, 131005, 131031, *range(200, 300)), 403),
    132001: 404,
    **dict.fromkeys((3, 131000, 131016, 131045, 131057, 133000, 134102), 500),
    **dict.fromkeys((2, 133004), 503),
}

_MESSAGE_BY_CODE = {
    2: "Service temporarily unavailable",
    4: "Application request limit reached",
    10: "Application does not have permission for this action",
    80008: "There have been too many calls to this WhatsApp Business account",
    100: "Invalid parameter",
    130429: "Rate limit hit",
    131000: "Something went wrong",
    131005: "Access denied",
    131008: "Required parameter is missing",
    131009: "Parameter value is not valid",
    131026: "Message undeliverable",
    131031: "Business account has been locked",
    130403: "Business is restricted from messaging users in this country",
    130472: "User's number is part of an experiment",
    131042: "Business eligibility payment issue",
    131047: "Re-engagement message",
    131048: "Spam rate limit hit",
    131049: "This message was not delivered to maintain healthy ecosystem engagement",
    131050: "User has stopped marketing messages from this business",
    131051: "Unsupported message type",
    131056: "Pair rate limit hit",
    131059: "Pagination cursor has expired",
    132000: "Number of parameters does not match the expected number of params",
    132001: "Template name does not exist in the translation",
    132005: "Translated text too long",
    132012: "Parameter format does not match format in the created template",
    132015: "Template is paused",
    132016: "Template is disabled",
    132018: "There is an issue with the parameters in your template",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, its body read.

    Attributes:
        path: without the query.
        query: the first value of each name.
        authorization: the header as sent, where there was one.
        host: the ``Host`` header: how the client reached us.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    authorization: str | None = None
    host: str = "127.0.0.1"
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back: after ``delay_s`` seconds, or never when ``cut``."""

    status: int
    body: bytes = b""
    content_type: str = "application/json; charset=UTF-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    cut: bool = False


class GraphError(Exception):
    """A refusal in Meta's own envelope.

    Args:
        code: what a client decides by.
        message: without it, Meta's usual words for the code.
        details: ``error_data.details``, left out when empty.
        status: HTTP status; without it, the one last documented for the code.
        type_: nearly always ``OAuthException``, also for errors that are no such thing.
    """

    def __init__(
        self,
        code: int,
        message: str | None = None,
        *,
        details: str = "",
        subcode: int | None = None,
        status: int | None = None,
        type_: str = "OAuthException",
    ) -> None:
        """Keep what the envelope will say."""
        self.code = code
        self.subcode = subcode
        self.status = _STATUS_BY_CODE.get(code, 400) if status is None else status
        self.type = type_
        self.message = message or f"(#{code}) {title_of(code)}"
        self.details = details
        super().__init__(f"{self.message}: {details}" if details else self.message)

    def reply(self) -> Reply:
        """Return this refusal as it goes over the wire."""
        error: dict[str, object] = {"message": self.message, "type": self.type, "code": self.code}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.details:
            error["error_data"] = {"messaging_product": "whatsapp", "details": self.details}
        error["fbtrace_id"] = secrets.token_urlsafe(8)
        return json_reply({"error": error}, status=self.status)


def title_of(code: int) -> str:
    """Return Meta's usual words for a code."""
    return _MESSAGE_BY_CODE.get(code, "Refused")


def json_reply(value: object, *, status: int = 200) -> Reply:
    """Return ``value`` as JSON."""
    return Reply(status, json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def read_json(body: bytes) -> object:
    """Return the JSON value in ``body``, or None when there is none to read."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, a number too long, too deep
        return None


def mapping(value: object) -> Mapping[str, object]:
    """Return ``value`` when it is a JSON object, otherwise an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> Sequence[object]:
    """Return ``value`` when it is a JSON array, otherwise an empty one."""
    return value if isinstance(value, list) else ()


def select(
    node: Mapping[str, object], fields: str | None, *, default: Sequence[str]
) -> dict[str, object]:
    """Return the asked fields of a Graph node and its id; what is None is left out.

    Args:
        node: every field that such a node has.
        fields: as in the query, ``id,throughput{level}``; what is in braces is
            ignored. None asks for ``default``.

    Raises:
        GraphError: one field is unknown: then the whole call fails, as at Meta.
    """
    names = default
    if fields is not None:
        names = [part.partition("{")[0].strip() for part in re.split(r",(?![^{]*})", fields)]
    for name in names:
        if name not in node:
            raise GraphError(100, f"(#100) Tried accessing nonexisting field ({name})")
    return {name: node[name] for name in ("id", *names) if node[name] is not None}
