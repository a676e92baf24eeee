"""The words that pass between deciding, writing and sending: phone, message, answer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from smartia_jobs.errors import ExitStatus

#: Ids as the database numbers rows, attempts as they can be counted; ASCII digits alone.
_CALLBACK = re.compile(r"([0-9a-z]{1,32}):([0-9]{1,18}):([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Phone:
    """A phone number that can be a phone.

    Attributes:
        wire: what is sent to WhatsApp: ``+`` and the number as the clinic stored it, in
            international form.
        canonical: what is compared (grouping, opt-out, ``ONLY_TO``): the same, with Brazil's
            ninth digit.
    """

    wire: str
    canonical: str


@dataclass(frozen=True, slots=True)
class Unsendable:
    """Why nothing can be sent to this patient: a reason a receptionist understands."""

    reason: str


class Scope(StrEnum):
    """How far an opt-out goes: what a phone no longer gets."""

    #: No invitations; reminders go on.
    INVITATIONS = "invitations"
    #: No message at all.
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Message:
    """One message, ready to be sent, and the text the patient will read.

    Attributes:
        kind: the message kind, the ``kind`` of the outbox row (``24h``, ``2h``, ``no_show``).
        template: the template's name at Meta; of a word back, which word it is.
        language: Meta's language code (``pt_BR``).
        parameters: the body's variables in the order of the body, name to cleaned value.
        named: whether the template's parameters are named (``NAMED``) or numbered.
        text: body as the patient reads it, without footer and buttons.
        meanings: button index to what a tap on that quick reply means to this program.
        payloads: button index to what a quick reply sends to the clinic's own bot; opaque ids only,
            never health data.
        reply_to: WhatsApp's id of the patient's message that this is a word back to, empty where
            there is none: it goes as free text, which Meta takes within 24 hours of the patient's
            last message; None: a template.
    """

    kind: str
    template: str
    language: str
    parameters: Mapping[str, str]
    named: bool
    text: str
    meanings: Mapping[int, str] = field(default_factory=dict)
    payloads: Mapping[int, str] = field(default_factory=dict)
    reply_to: str | None = None


@dataclass(frozen=True, slots=True)
class CallbackData:
    """What WhatsApp sends back with everything that is about a message: which one it was.

    Attributes:
        installation: the id of the database it was sent from.
        outbox_id: the row that leads it there.
        attempt: how often that row had been claimed: two tries have two names.
    """

    installation: str
    outbox_id: int
    attempt: int

    def __str__(self) -> str:
        """Return ``<installation>:<outbox id>:<attempt>``."""
        return f"{self.message}:{self.attempt}"

    @property
    def message(self) -> str:
        """Return ``<installation>:<outbox id>``, the end of a button's payload."""
        return f"{self.installation}:{self.outbox_id}"

    @classmethod
    def parse(cls, text: str) -> "CallbackData | None":
        """Return what was sent along with a message of ours; None: another program's message."""
        if (match := _CALLBACK.fullmatch(text)) is None:
            return None
        installation, outbox_id, attempt = match.groups()
        return cls(installation, int(outbox_id), int(attempt))


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message that WhatsApp accepted, as SmartIA's ``interactions`` remembers it.

    Attributes:
        patient_id: who was written to.
        text: as the patient reads it.
        message_id: WhatsApp's id of the message.
        sent_at: when it was accepted, aware UTC.
    """

    patient_id: int
    text: str
    message_id: str | None
    sent_at: datetime


class Verdict(StrEnum):
    """What one answer of WhatsApp means for the message that was tried."""

    #: Accepted; the patient will get it.
    SENT = "sent"
    #: WhatsApp refused this patient for good; the others go on.
    GIVE_UP = "give_up"
    #: WhatsApp could not read this request; five of the same in a row stop the run, and others
    #: show whether the request or the patient is at fault.
    BAD_REQUEST = "bad_request"
    #: Surely not accepted; the same message may be tried again after a wait.
    RETRY = "retry"
    #: Surely not accepted because we are too fast for Meta: everyone slows down.
    SLOW_DOWN = "slow_down"
    #: Surely not accepted because this one recipient got too many: only they wait.
    SLOW_DOWN_RECIPIENT = "slow_down_recipient"
    #: May have been accepted: no readable answer came after the request was sent.
    UNKNOWN = "unknown"
    #: Nothing else can succeed until a person acts; ``Answer.stop`` says with which status.
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from one attempt to send one message.

    Attributes:
        verdict: what it means.
        reason: in plain words, fit for logs: no phone, name, text or token.
        code: Meta's error code, where there was one.
        from_graph: whether WhatsApp itself answered (accepted or refused); False for every
            time-out, cut connection, refused connection or foreign body.
        message_id: WhatsApp's id of the message (holds the phone number: never log it).
        in_quality_check: accepted, but Meta checks its quality before it is delivered.
        stop: for ``STOP``, the exit status of the run.
        opt_out: the patient wants no marketing from this clinic.
        wait_s: how long Meta asks to wait, where it says so, in seconds.
        answered_at: when it was answered, by the clock of the server, aware UTC; None where
            that is not told.
    """

    verdict: Verdict
    reason: str = ""
    code: int | None = None
    from_graph: bool = True
    message_id: str | None = None
    in_quality_check: bool = False
    stop: ExitStatus | None = None
    opt_out: bool = False
    wait_s: float | None = None
    answered_at: datetime | None = None
