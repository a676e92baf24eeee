"""What comes in, as values: what became of a message, and what patients write."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Delivery(StrEnum):
    """How far a message got, in Meta's words."""

    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Status:
    """What WhatsApp says has become of one message.

    Attributes:
        wamid: WhatsApp's id of the message (holds the phone number: never log it).
        delivery: how far it got.
        said_at: when it happened, as Meta says, aware UTC.
        callback: what was sent along with the message; None: nothing.
        code: Meta's reason, with ``failed`` alone.
    """

    wamid: str
    delivery: Delivery
    said_at: datetime
    callback: str | None = None
    code: int | None = None


class Source(StrEnum):
    """Where it came from: what nobody signs counts for less."""

    WEBHOOK = "webhook"
    SMARTIA = "smartia"


class Meaning(StrEnum):
    """What an answer says."""

    #: The patient will come.
    CONFIRM = "confirm"
    #: The patient cannot come.
    CANCEL = "cancel"
    #: The patient wants another time.
    MOVE = "move"
    #: The patient wants no more messages.
    STOP = "stop"
    #: The patient wants messages again.
    START = "start"
    #: The number is somebody else's: true until somebody corrects it.
    NOT_ME = "not_me"
    #: Nothing that anybody must act on.
    COURTESY = "courtesy"
    #: A person must read it.
    UNCLEAR = "unclear"


#: They hold back reminders and no-show of a visit, as long as it is as the patient was told.
SAYS_NO = (Meaning.CANCEL, Meaning.MOVE)


@dataclass(frozen=True, slots=True)
class PatientAnswer:
    """One thing that a person did in the chat: wrote, tapped, reacted, changed a preference.

    Attributes:
        message_id: WhatsApp's id of it (holds the phone number: never log it); a preference,
            which has none, is named by phone and time.
        source: where it came from.
        phone: who wrote, as WhatsApp writes it: digits with the country code; None: hidden.
        type: as Meta says it: ``text``, ``button``, ``reaction``, ``audio``, ...;
            ``user_preferences`` for a preference.
        said_at: when, as Meta says, aware UTC.
        text: what was written, the button's label, or the emoji of a reaction; None: nothing
            to read (a voice message; a reaction that was taken away).
        payload: what a button carries; ``stop`` or ``resume`` of a preference.
        context_id: the message that was tapped on, quoted or reacted to.
    """

    message_id: str
    source: Source
    phone: str | None
    type: str
    said_at: datetime
    text: str | None = None
    payload: str | None = None
    context_id: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """What Meta reports of the account or of a template.

    Attributes:
        field: of the webhook: ``message_template_status_update``, ``account_update``, ...
        event: as Meta says it: ``PAUSED``, ``ACCOUNT_RESTRICTION``, ...
        subject: the template and its language; empty for the account.
        said_at: when, aware UTC.
        detail: Meta's reason; None: none given.
    """

    field: str
    event: str
    subject: str
    said_at: datetime
    detail: str | None = None
