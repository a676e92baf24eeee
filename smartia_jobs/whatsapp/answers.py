"""Reading one HTTP answer to a sent message: what it means for that message and for the run.

Meta asks to decide by ``error.code`` and not by HTTP status, title or message. An error in
Graph's own form is a refusal: the message was surely not accepted. Where nothing in that form
came back, only the kind of answer is left to judge by.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from smartia_jobs.errors import ExitStatus
from smartia_jobs.message import Answer, Verdict
from smartia_jobs.whatsapp.codes import ANSWERS, PROOF, SENDER

#: A longer wait than a day is not believed.
_LONGEST_WAIT_S = 86_400.0

#: WhatsApp's ids fit SmartIA's column; what is longer is not one.
_LONGEST_MESSAGE_ID = 255

_PROXY = Answer(
    Verdict.RETRY,
    "Something between here and WhatsApp refused the request: check META_API_URL and proxy.",
    from_graph=False,
)
_FOREIGN_THROTTLE = Answer(
    Verdict.SLOW_DOWN, "Something in front of WhatsApp asks to slow down.", from_graph=False
)
_NO_ANSWER = Answer(
    Verdict.UNKNOWN,
    "An answer came that is not WhatsApp's; the message may have been accepted.",
    from_graph=False,
)


def classify(status: int, body: object, headers: Mapping[str, str]) -> Answer:
    """Say what an HTTP answer to a sent message means.

    Args:
        status: the HTTP status, judged by only where there is no known code.
        body: the parsed JSON of any shape; None when it was no JSON.
        headers: looked up by the names Meta documents; best without regard to case.
    """
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        code = _code(error.get("code"))
        meaning = ANSWERS.get(code) if code is not None else None
        if code == 100:
            meaning = _special_100(error) or meaning
        if meaning is None and _is_graphs(error, code, status):
            meaning = _unlisted(status, error)
        if meaning is not None:
            return replace(_with_asked_wait(meaning, headers), code=code)
    if 200 <= status < 300:
        return _accepted(body) or _NO_ANSWER
    if status == 429:
        return _with_asked_wait(_FOREIGN_THROTTLE, headers)
    return _PROXY if 300 <= status < 500 else _NO_ANSWER


def _code(value: object) -> int | None:
    """Read a code that may be a number or a text; None for what no database column takes."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9:
        return value
    return None


def _is_graphs(error: Mapping[str, Any], code: int | None, status: int) -> bool:
    """Whether an error of unlisted code is Graph's; gateways too write an ``error`` object,
    with the HTTP status as its code."""
    return "type" in error or "fbtrace_id" in error or code not in (None, status)


def _special_100(error: Mapping[str, Any]) -> Answer | None:
    """Tell the code 100 that means sender, permission or proof from that of a bad field."""
    data = error.get("error_data")
    details = data.get("details") if isinstance(data, dict) else data
    texts = (error.get("message"), details)
    if any("appsecret_proof" in text for text in texts if isinstance(text, str)):
        return PROOF
    is_sender = (
        _code(error.get("error_subcode")) == 33 or error.get("type") == "GraphMethodException"
    )
    return SENDER if is_sender else None


def _unlisted(status: int, error: Mapping[str, Any]) -> Answer:
    """Judge a code that Meta has not listed by the HTTP status, as a last resort."""
    if status in (401, 403):
        return Answer(
            Verdict.STOP,
            "WhatsApp refuses this token or account for a reason this program does not know:"
            " look the code up in Meta's list of error codes.",
            stop=ExitStatus.REFUSED,
        )
    if status == 429:
        return Answer(Verdict.SLOW_DOWN, "WhatsApp asks to slow down.")
    if status >= 500 or error.get("is_transient") is True:
        return Answer(Verdict.RETRY, "WhatsApp failed for a reason this program does not know.")
    return Answer(
        Verdict.BAD_REQUEST, "WhatsApp refused the request for a reason this program does not know."
    )


def _accepted(body: object) -> Answer | None:
    """Read an acceptance; None when there is no message id in it."""
    messages = body.get("messages") if isinstance(body, dict) else None
    message = messages[0] if isinstance(messages, list) and messages else None
    if not isinstance(message, dict):
        return None
    message_id = message.get("id")
    if not isinstance(message_id, str) or not 0 < len(message_id) <= _LONGEST_MESSAGE_ID:
        return None
    if not (message_id.isascii() and message_id.isprintable()):
        return None
    return Answer(
        Verdict.SENT,
        message_id=message_id,
        in_quality_check=message.get("message_status") in ("held_for_quality_assessment", "paused"),
    )


def _with_asked_wait(answer: Answer, headers: Mapping[str, str]) -> Answer:
    """Add to a throttle how long Meta asks to wait, where it says so.

    Source: Meta, "Graph API rate limits": the estimate is in minutes and 0 when not throttled;
    ``Retry-After`` in seconds is a courtesy of the server that answered.
    """
    if answer.verdict is not Verdict.SLOW_DOWN:
        return answer
    asked_s = _regain_s(headers.get("X-Business-Use-Case-Usage", "")) or _positive(
        headers.get("Retry-After")
    )
    return replace(answer, wait_s=min(asked_s, _LONGEST_WAIT_S)) if asked_s else answer


def _regain_s(usage_header: str) -> float | None:
    try:
        usage = json.loads(usage_header)
    except (ValueError, RecursionError):
        return None
    groups = usage.values() if isinstance(usage, dict) else ()
    entries = [entry for group in groups if isinstance(group, list) for entry in group]
    minutes = [
        _positive(entry.get("estimated_time_to_regain_access"))
        for entry in entries
        if isinstance(entry, dict)
    ]
    return max((60 * m for m in minutes if m), default=None)


def _positive(value: object) -> float | None:
    """Read a finite number above 0 from a number or a text; None for anything else."""
    if not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None
