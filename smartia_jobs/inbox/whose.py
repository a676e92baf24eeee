"""Which message of ours an answer is about, and whether it is an answer to us at all."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from smartia_jobs.appointment import Key
from smartia_jobs.incoming import Meaning, PatientAnswer
from smartia_jobs.message import Phone, Scope
from smartia_jobs.phones import parse_phone

#: How long after a reminder what somebody writes may be an answer to it.
ANSWERED_WITHIN = timedelta(hours=96)

#: Meta gives whole seconds, and its clock is not ours.
_CLOCKS_DIFFER = timedelta(minutes=1)

#: These apply to the phone, however old our last message to it is.
_OF_THE_PHONE = frozenset({Meaning.STOP, Meaning.START, Meaning.NOT_ME})

#: What a button of ours can mean.
_ON_BUTTONS = frozenset({Meaning.CONFIRM, Meaning.CANCEL, Meaning.MOVE, Meaning.STOP})

#: What a person writes or sends. (``interactive`` is a tap on a message that is not ours.)
_FROM_PEOPLE = frozenset(
    {
        "text",
        "button",
        "reaction",
        "audio",
        "image",
        "video",
        "document",
        "sticker",
        "location",
        "contacts",
        "edit",
        "unsupported",
    }
)

_PAYLOAD = re.compile(r"([a-z_]{1,20}):([0-9a-z]{1,32}):([0-9]{1,18})")


class Purpose(StrEnum):
    """Why a message of ours was sent."""

    REMINDER = "reminder"
    INVITATION = "invitation"
    WORD_BACK = "word_back"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A message of ours that an answer may be about: it was, or may have been, accepted.

    Attributes:
        outbox_id: of the row that leads it.
        wamid: WhatsApp's id of it (holds the phone number: never log it); None: unknown.
        phone: whom it was sent to, canonical; None: erased since.
        purpose: why it was sent.
        asked: it asks a question.
        visits: which it told the patient of, each at the time that was told.
        sent_at: when it was, or may have been, accepted, aware UTC.
        stands: all its visits are still open, at that time and that patient's.
    """

    outbox_id: int
    wamid: str | None
    phone: str | None
    purpose: Purpose
    asked: bool
    visits: frozenset[Key]
    sent_at: datetime
    stands: bool = True


@dataclass(frozen=True, slots=True)
class Tap:
    """What the payload of a button of ours says.

    Attributes:
        word: what a tap on it means.
        installation: the id of the database that the message was sent from.
        outbox_id: the row that leads it there.
    """

    word: str
    installation: str
    outbox_id: int

    @classmethod
    def parse(cls, payload: str | None) -> "Tap | None":
        """Return what a payload says; None: it is no payload as we send them."""
        if payload is None or (match := _PAYLOAD.fullmatch(payload)) is None:
            return None
        word, installation, outbox_id = match.groups()
        return cls(word, installation, int(outbox_id))

    @property
    def meaning(self) -> Meaning:
        """What it means; a word that this program no longer sends is unclear."""
        return next((one for one in _ON_BUTTONS if one == self.word), Meaning.UNCLEAR)


class By(StrEnum):
    """How an answer says what it is about."""

    #: It is a button of ours.
    TAPPED = "tapped"
    #: It was written below a message, or is a reaction to one.
    QUOTED = "quoted"
    #: It does not.
    BARE = "bare"


class NotAnAnswer(StrEnum):
    """Why something is no answer to us: a key of ``ignored`` in the report."""

    #: A system message, a tap on another program's message, a type that is new.
    NOT_WRITTEN = "not_written"
    #: A button of another program, or of a message that another database sent.
    NOT_OURS = "not_ours"
    #: The clinic's own number wrote.
    OWN_NUMBER = "own_number"
    #: WhatsApp hides the phone, and no message of ours was tapped on or quoted.
    NO_PHONE = "no_phone"
    #: A stranger, or a dialogue with somebody who was not reminded lately.
    NO_REMINDER = "no_reminder"


@dataclass(frozen=True, slots=True)
class Whose:
    """Which message of ours an answer is about.

    Attributes:
        by: how it says so.
        message: which; None: nobody can tell.
        phone: whom it speaks for, canonical; None: nobody knows.
        means: what a tap means; None: words, which are to be read.
        asked: what it answers asked a question: the message it quotes, else the newest one.
        scope: how far it goes if it is an opt-out.
        why: why nobody can tell, or why a tap is unclear; plain words, no personal data.
        is_recent: whatever it means, it is an answer to us; see :meth:`counts`.
    """

    by: By
    message: Candidate | None
    phone: str | None
    means: Meaning | None = None
    asked: bool = False
    scope: Scope = Scope.ALL
    why: str = ""
    is_recent: bool = True

    def counts(self, meaning: Meaning) -> bool:
        """Whether it is an answer to us, now that it has been read; else ``NO_REMINDER``."""
        return self.is_recent or meaning in _OF_THE_PHONE


def whose(
    answer: PatientAnswer,
    messages: Sequence[Candidate],
    *,
    installation: str,
    clinic_phone: str | None = None,
) -> Whose | NotAnAnswer:
    """Return which message an answer is about, or why it is no answer to us.

    A tap on or a quote of a message of ours is an answer to that, however old. A payload counts
    only with a row that fits it: the row's message is the one that was tapped on, or went to this
    very phone. Bare words are about the visit, or visits, that *all* reminders of the last 96 hours
    to this phone told; where these differ, nobody can tell.

    Args:
        answer: what came; its phone may be written as WhatsApp writes it.
        messages: those to this phone, and those that :class:`Tap` or ``context_id`` names. Others
            do no harm.
        installation: the id of our database.
        clinic_phone: the clinic's own number, canonical.
    """
    if answer.type not in _FROM_PEOPLE:
        return NotAnAnswer.NOT_WRITTEN
    phone = canonical(answer.phone)
    if phone is not None and phone == clinic_phone:
        return NotAnAnswer.OWN_NUMBER
    tap = Tap.parse(answer.payload)
    if tap is not None and tap.installation == installation:
        return _tapped(tap, answer, phone, messages)
    if answer.payload and answer.payload != answer.text:  # a label alone is words
        return NotAnAnswer.NOT_OURS
    quoted = (one for one in messages if one.wamid and one.wamid == answer.context_id)
    if (message := next(quoted, None)) is not None:
        return _about(By.QUOTED, message, phone)
    if phone is None:
        return NotAnAnswer.NO_PHONE
    return _of_the_phone(answer, phone, messages)


def canonical(phone: str | None) -> str | None:
    """Return the phone of an answer as it is compared; None: hidden, or nobody's.

    WhatsApp writes digits that begin with the country's code, and Brazil's without the ninth
    digit where the account is old.
    """
    if not phone:
        return None
    # With a plus in front, the number names its country.
    parsed = parse_phone(f"+{phone.removeprefix('+')}", "BR")
    return parsed.canonical if isinstance(parsed, Phone) else None


def _tapped(
    tap: Tap, answer: PatientAnswer, phone: str | None, messages: Sequence[Candidate]
) -> Whose:
    row = next((one for one in messages if one.outbox_id == tap.outbox_id), None)
    is_its_message = row is not None and row.wamid is not None and row.wamid == answer.context_id
    if row is None or not (is_its_message or (phone is not None and phone == row.phone)):
        why = "the button is of a message that is not known to have gone to this phone"
        return Whose(By.TAPPED, None, phone, means=Meaning.UNCLEAR, why=why)
    why = "the button means nothing to this version" if tap.meaning is Meaning.UNCLEAR else ""
    return _about(By.TAPPED, row, phone, means=tap.meaning, why=why)


def _about(
    by: By, message: Candidate, phone: str | None, *, means: Meaning | None = None, why: str = ""
) -> Whose:
    return Whose(
        by,
        message,
        phone or message.phone,
        means=means,
        asked=message.asked,
        scope=_scope(message),
        why=why,
    )


def _of_the_phone(
    answer: PatientAnswer, phone: str, messages: Sequence[Candidate]
) -> Whose | NotAnAnswer:
    """Look at all that this phone was told before it answered."""
    told = [
        one
        for one in messages
        if one.phone == phone and one.sent_at - answer.said_at <= _CLOCKS_DIFFER
    ]
    if not told:
        return NotAnAnswer.NO_REMINDER
    told.sort(key=lambda one: (one.sent_at, one.outbox_id))
    reminders = [
        one
        for one in told
        if one.purpose is Purpose.REMINDER and answer.said_at - one.sent_at <= ANSWERED_WITHIN
    ]
    newest = told[-1]
    quotes = answer.context_id is not None
    why = "it is below a message that is not ours" if quotes else _doubt(newest, reminders)
    return Whose(
        By.QUOTED if quotes else By.BARE,
        None if why else reminders[-1],
        phone,
        asked=newest.asked and not quotes,
        scope=_scope(newest),
        why=why,
        is_recent=bool(reminders),
    )


def _doubt(newest: Candidate, reminders: Sequence[Candidate]) -> str:
    """Return why bare words can be about another visit; empty when they cannot."""
    if not reminders:
        return "no reminder was sent to this phone lately"
    if newest.purpose is Purpose.INVITATION:
        return "the newest message was an invitation"
    if any(one.visits != reminders[-1].visits for one in reminders):
        return "reminders of several visits were sent to this phone"
    if not reminders[-1].stands:
        return "the visit is not as it was told"
    return ""


def _scope(message: Candidate) -> Scope:
    return Scope.INVITATIONS if message.purpose is Purpose.INVITATION else Scope.ALL
