"""What Meta posts to the webhook, read piece by piece: one that makes no sense costs no other.

Shapes are those of Meta's "Webhooks" pages (2026-11); whatever is not understood is counted, by
a reason that holds nothing of the payload.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from smartia_jobs.incoming import Delivery, Notice, PatientAnswer, Source, Status

#: As long as the columns that keep them.
_ID_LENGTH, _CALLBACK_LENGTH, _TEXT_LENGTH, _PAYLOAD_LENGTH = 255, 512, 4096, 255
_TYPE_LENGTH, _PHONE_LENGTH = 20, 64
_EVENT_LENGTH, _SUBJECT_LENGTH, _DETAIL_LENGTH = 64, 540, 200

#: Meta's seconds have ten digits until 2286; what has more counts milliseconds.
_MILLISECONDS_FROM = 10**11
#: Nothing was said before there was WhatsApp.
_FIRST_AT = datetime(2009, 1, 1, tzinfo=UTC)

_MEDIA = frozenset({"image", "video", "document"})
#: What a person can answer with besides a text.
_WORDLESS = frozenset(
    {"audio", "contacts", "edit", "location", "order", "sticker", "unsupported", *_MEDIA}
)
#: What stops messages now or soon.
_ACCOUNT_EVENTS = frozenset({"ACCOUNT_RESTRICTION", "ACCOUNT_VIOLATION", "DISABLED_UPDATE"})


@dataclass(slots=True)
class Post:
    """What one post said.

    Attributes:
        statuses: what became of messages, ours and others'.
        answers: what people did in the chat.
        notices: what Meta reports of templates and the account.
        ignored: how many elements were left out, by reason.
    """

    statuses: list[Status] = field(default_factory=list)
    answers: list[PatientAnswer] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)

    def pieces(self) -> Iterator["Post"]:
        """Yield each piece as a post."""
        yield from (Post(statuses=[one]) for one in self.statuses)
        yield from (Post(answers=[one]) for one in self.answers)
        yield from (Post(notices=[one]) for one in self.notices)


class _Ignored(Exception):
    """An element that is left out, with the reason."""


def parse(body: bytes) -> dict[str, Any] | None:
    """Return what a post holds; None when it is no post of a WhatsApp account at all."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(payload, dict) or payload.get("object") != "whatsapp_business_account":
        return None
    return payload


def read(payload: Mapping[str, Any], *, phone_number_id: str | None, received_at: datetime) -> Post:
    """Return what a post says.

    Args:
        payload: what it holds, as :func:`parse` returns it.
        phone_number_id: the clinic's number at Meta; what is about another one is left out.
            None: every number is the clinic's.
        received_at: when it came, aware UTC; stands for a time that is missing or in the future.
    """
    post = Post()
    for entry in _list(payload, "entry", post):
        for change in _list(entry, "changes", post):
            _Change(entry, change, phone_number_id, received_at).read(post)
    return post


def nobodys(payload: Mapping[str, Any]) -> Post:
    """Return that nothing was read of what is about no clinic's number and account."""
    found = read(payload, phone_number_id=None, received_at=_FIRST_AT)
    numbers, accounts = len(found.statuses) + len(found.answers), len(found.notices)
    return Post(ignored=found.ignored + Counter(another_number=numbers, another_account=accounts))


class _Change:
    """One element of ``changes``."""

    def __init__(
        self, entry: Any, change: Any, phone_number_id: str | None, received_at: datetime
    ) -> None:
        self.entry = entry
        self.field = change.get("field") if isinstance(change, dict) else None
        value = change.get("value") if isinstance(change, dict) else None
        self.value: Mapping[str, Any] = value if isinstance(value, dict) else {}
        self.phone_number_id = phone_number_id
        self.received_at = received_at

    def read(self, post: Post) -> None:
        match self.field:
            case "messages" | "user_preferences" if not self.value:
                post.ignored["unreadable"] += 1
            case "messages":
                self._each("statuses", self._status, post.statuses, post)
                self._each("messages", self._answer, post.answers, post)
                post.ignored["error"] += len(_list(self.value, "errors", post))
            case "user_preferences":
                self._each("user_preferences", self._preference, post.answers, post)
            case "message_template_status_update" | "template_category_update" | "account_update":
                try:
                    post.notices.append(self._notice())
                except _Ignored as reason:
                    post.ignored[str(reason)] += 1
            case _:
                post.ignored["field"] += 1
        post.ignored += Counter()  # without what is 0

    def _each(self, name: str, read_one: Any, found: list[Any], post: Post) -> None:
        for element in _list(self.value, name, post):
            try:
                if not self._is_ours():
                    raise _Ignored("another_number")
                if not isinstance(element, dict):
                    raise _Ignored("unreadable")
                if element.get("group_id") or element.get("recipient_type") == "group":
                    raise _Ignored("group")
                found.append(read_one(element))
            except _Ignored as reason:
                post.ignored[str(reason)] += 1

    def _is_ours(self) -> bool:
        metadata = self.value.get("metadata")
        number = metadata.get("phone_number_id") if isinstance(metadata, dict) else None
        return self.phone_number_id is None or str(number) == self.phone_number_id

    def _status(self, element: Mapping[str, Any]) -> Status:
        said = element.get("status")
        if said not in list(Delivery):
            raise _Ignored("status" if isinstance(said, str) else "unreadable")
        failed = said == Delivery.FAILED
        return Status(
            wamid=_id(element.get("id")),
            delivery=Delivery(said),
            said_at=self._said_at(element.get("timestamp")),
            callback=_text(element.get("biz_opaque_callback_data"), _CALLBACK_LENGTH),
            code=_first_code(element.get("errors")) if failed else None,
        )

    def _answer(self, element: Mapping[str, Any]) -> PatientAnswer:
        type_ = element.get("type")
        if not isinstance(type_, str):
            raise _Ignored("unreadable")
        inner = _dict(element.get(type_))
        context = _dict(element.get("context"))
        if context.get("forwarded") or context.get("frequently_forwarded"):
            raise _Ignored("forwarded")
        text, payload, context_id = None, None, context.get("id")
        match type_:
            case "text":
                text = inner.get("body")
            case "button":
                text, payload = inner.get("text"), inner.get("payload")
            case "interactive":
                reply = _dict(inner.get(str(inner.get("type"))))
                if "title" not in reply:
                    raise _Ignored("type")
                text, payload = reply.get("title"), reply.get("id")
            case "reaction":
                text, context_id = inner.get("emoji"), inner.get("message_id")
            case _ if type_ in _MEDIA:
                text = inner.get("caption")
            case _ if type_ not in _WORDLESS:
                raise _Ignored("type")
        return PatientAnswer(
            message_id=_id(element.get("id")),
            source=Source.WEBHOOK,
            phone=_text(element.get("from"), _PHONE_LENGTH),
            type=type_[:_TYPE_LENGTH],
            said_at=self._said_at(element.get("timestamp")),
            text=_text(text, _TEXT_LENGTH),
            payload=_text(payload, _PAYLOAD_LENGTH),
            context_id=_text(context_id, _ID_LENGTH),
        )

    def _preference(self, element: Mapping[str, Any]) -> PatientAnswer:
        wish, phone = element.get("value"), _text(element.get("wa_id"), _PHONE_LENGTH)
        if wish not in ("stop", "resume") or element.get("category") != "marketing_messages":
            raise _Ignored("preference")
        if phone is None:
            raise _Ignored("unreadable")
        said_at = self._said_at(element.get("timestamp"))
        # As Meta counts it, even where our clock is behind: a repetition has the same id.
        second = _whole(element.get("timestamp")) or round(said_at.timestamp())
        return PatientAnswer(
            message_id=_id(f"user_preferences:{phone}:{second}"),
            source=Source.WEBHOOK,
            phone=phone,
            type="user_preferences",
            said_at=said_at,
            payload=str(wish),
        )

    def _notice(self) -> Notice:
        value = self.value
        name = _text(value.get("message_template_name"), _SUBJECT_LENGTH)
        language = _text(value.get("message_template_language"), 20)
        event, detail = _text(value.get("event"), _EVENT_LENGTH), None
        subject = " ".join(filter(None, [name, language]))
        if self.field == "template_category_update":
            # An impending one names what is right, and calls what holds until then "new".
            new = value.get("correct_category") or value.get("new_category")
            old = _text(value.get("previous_category") or value.get("new_category"), _EVENT_LENGTH)
            event, detail = _text(new, _EVENT_LENGTH), None if old is None else f"it was {old}"
        elif self.field == "message_template_status_update":
            other = _dict(value.get("other_info"))
            said = [value.get("reason"), other.get("title")]
            detail = ", ".join(one for one in said if isinstance(one, str) and one != "NONE")
        elif event not in _ACCOUNT_EVENTS:
            raise _Ignored("account")
        else:
            subject, detail = "", ", ".join(_restrictions(value))
        if event is None or (self.field != "account_update" and name is None):
            raise _Ignored("unreadable")
        said_at = self._said_at(self.entry.get("time") if isinstance(self.entry, dict) else None)
        return Notice(
            field=str(self.field),
            event=event,
            subject=subject[:_SUBJECT_LENGTH],
            said_at=said_at,
            detail=_text(detail, _DETAIL_LENGTH),
        )

    def _said_at(self, timestamp: Any) -> datetime:
        """Return when it was said; when it came, if that is missing or in the future."""
        seconds = _whole(timestamp)
        if seconds is None:
            return self.received_at
        try:
            scale = 1000 if seconds >= _MILLISECONDS_FROM else 1
            said_at = datetime.fromtimestamp(seconds / scale, UTC)
        except (OverflowError, ValueError, OSError):
            return self.received_at
        return said_at if _FIRST_AT <= said_at <= self.received_at else self.received_at


def _restrictions(value: Mapping[str, Any]) -> Iterator[str]:
    restricted = value.get("restriction_info")
    said = [_dict(one).get("restriction_type") for one in _elements(restricted)]
    for outer, inner in (("violation_info", "violation_type"), ("ban_info", "waba_ban_state")):
        said.append(_dict(value.get(outer)).get(inner))
    yield from (one for one in said if isinstance(one, str) and one)


def _list(parent: Any, name: str, post: Post) -> list[Any]:
    """Return a list of a parent, which may be missing; anything else there is counted."""
    if not isinstance(parent, dict):
        post.ignored["unreadable"] += 1
        return []
    found = parent.get(name, [])
    if isinstance(found, list):
        return found
    post.ignored["unreadable"] += 1
    return []


def _elements(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _id(value: Any) -> str:
    """Return an id as it is: one that had to be cut would be the id of something else."""
    text = _text(value, _ID_LENGTH)
    if text is None or text != value:
        raise _Ignored("unreadable")
    return text


def _text(value: Any, length: int) -> str | None:
    """Return a text that every database takes; None for what is no text, or empty."""
    if not isinstance(value, str):
        return None
    # NUL is refused by PostgreSQL, and half of a surrogate pair is no UTF-8.
    return value.replace("\0", "").encode("utf-8", "ignore").decode()[:length] or None


def _whole(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        return int(value)
    return None


def _first_code(errors: Any) -> int | None:
    for error in _elements(errors):
        code = _whole(_dict(error).get("code"))
        if code is not None and 0 <= code < 2**31:
            return code
    return None
