"""What the sandbox received: every request to send, accepted or refused, newest last."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypedDict


class Received(TypedDict):
    """One request to send a message.

    Attributes:
        at: when it arrived, ISO 8601 in UTC.
        monotonic: the same in seconds of ``time.monotonic`` (for rates).
        to: the recipient as the client wrote it.
        type: ``template`` or ``text``, as the client wrote it.
        context_id: the message that this one quotes.
        template: the template's name.
        language: the template's language code.
        parameters: the body's values by variable name or number.
        payloads: quick-reply payloads by button index.
        callback_data: ``biz_opaque_callback_data``.
        text: the body as the patient would read it; only of accepted messages.
        category: the template's, once it was found good; None of free text.
        buttons: the labels of its quick replies by index, once it was found good.
        accepted: whether WhatsApp would now deliver it, whatever the client was told.
        status: the HTTP status answered; None when the connection was cut.
        code: the Graph error code answered.
        wamid: WhatsApp's id of the message, when accepted.
        wa_id: WhatsApp's id of the recipient, when accepted.
    """

    at: str
    monotonic: float
    to: str | None
    type: str | None
    context_id: str | None
    template: str | None
    language: str | None
    parameters: dict[str, str]
    payloads: dict[str, str]
    callback_data: str | None
    text: str | None
    category: str | None
    buttons: dict[str, str]
    accepted: bool
    status: int | None
    code: int | None
    wamid: str | None
    wa_id: str | None


class Stats(TypedDict):
    """Numbers over everything kept.

    Attributes:
        received: requests to send since the start or the last clearing, also those that
            are no longer kept.
        accepted: of those kept.
        duplicate_callback_data: accepted messages that repeat another's callback data.
        duplicate_messages: accepted messages that repeat recipient, template and values.
    """

    received: int
    accepted: int
    duplicate_callback_data: int
    duplicate_messages: int


class ReceivedMessages:
    """The newest requests, safe to read while others arrive.

    Args:
        keep: how many are kept; older ones are dropped.
    """

    def __init__(self, *, keep: int) -> None:
        """Start empty."""
        self._messages: deque[Received] = deque(maxlen=keep)
        self._count = 0
        self._lock = threading.Lock()

    def add(self, message: Received) -> None:
        """Keep one more; it must not be changed afterwards."""
        with self._lock:
            self._messages.append(message)
            self._count += 1

    def snapshot(self) -> list[Received]:
        """Return copies of what is kept, oldest first."""
        with self._lock:
            messages = list(self._messages)
        return [message.copy() for message in messages]

    def newest(self, wanted: Callable[[Received], bool]) -> Received | None:
        """Return a copy of the newest that is wanted, if there is one."""
        with self._lock:
            for message in reversed(self._messages):
                if wanted(message):
                    return message.copy()
        return None

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._messages.clear()
            self._count = 0

    def stats(self) -> Stats:
        """Return the numbers, counted now."""
        with self._lock:
            messages, count = list(self._messages), self._count
        accepted = [message for message in messages if message["accepted"]]
        by_data = Counter(m["callback_data"] for m in accepted if m["callback_data"] is not None)
        by_content = Counter(
            (m["to"], m["template"], m["language"], *sorted(m["parameters"].items()))
            for m in accepted
        )
        return Stats(
            received=count,
            accepted=len(accepted),
            duplicate_callback_data=by_data.total() - len(by_data),
            duplicate_messages=by_content.total() - len(by_content),
        )


def arrived() -> Received:
    """Return an empty record of a request that arrived now."""
    return Received(
        at=datetime.now(UTC).isoformat(timespec="microseconds"),
        monotonic=time.monotonic(),
        to=None,
        type=None,
        context_id=None,
        template=None,
        language=None,
        parameters={},
        payloads={},
        callback_data=None,
        text=None,
        category=None,
        buttons={},
        accepted=False,
        status=None,
        code=None,
        wamid=None,
        wa_id=None,
    )
