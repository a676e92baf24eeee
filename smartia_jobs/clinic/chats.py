"""What SmartIA's chatbot noted about conversations: who asked to move or cancel a visit."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, func, or_, select

from smartia_jobs.appointment import Appointment
from smartia_jobs.clinic.phone_tails import phone_ends_like
from smartia_jobs.clinic.tables import conversations, interactions, patients
from smartia_jobs.clinic.times import StoredTimes, read_booked_at
from smartia_jobs.store.tables import outbox

# In the chatbot's own words.
MOVED = ("%resched%", "%remarc%", "%reagend%")
CANCELLED = ("%cancel%", "%desmarc%")

#: Patients in one IN list.
_CHUNK = 500

#: How long the chatbot waits for an answer to its last message.
_DIALOGUE = timedelta(hours=24)

#: From when to when a chat lasted.
_Span = tuple[datetime, datetime]


def is_about(patterns: Sequence[str]) -> ColumnElement[bool]:
    """Return whether a conversation's intent is one of these."""
    intent = func.lower(conversations.c.intent)
    return or_(*(intent.like(pattern) for pattern in patterns))


def phones_in_dialogue(connection: Connection, times: StoredTimes, *, now: datetime) -> set[str]:
    """Return the phones, as stored, of patients in a dialogue with SmartIA's chatbot.

    Those are patients with an open conversation to which the chatbot wrote within a day: a bare
    word may be meant for it. What this program sent is in the same conversations, and is
    recognised by WhatsApp's id of the message.

    Args:
        connection: inside a short transaction.
        times: how this database stores moments.
        now: when it was asked.
    """
    since_at = now - _DIALOGUE
    ours = select(outbox.c.id).where(outbox.c.message_id == interactions.c.provider_message_id)
    query = (
        select(interactions.c.created_at, patients.c.phone_number)
        .join(conversations, conversations.c.id == interactions.c.conversation_id)
        .join(patients, patients.c.id == conversations.c.patient_id)
        .where(
            conversations.c.state != "DONE",
            interactions.c.type == "OUTGOING",
            times.booked_near(interactions.c.created_at, since_at, now),
            ~ours.exists(),
        )
    )
    return {
        str(row.phone_number)
        for row in connection.execute(query)
        if (written_at := read_booked_at(row.created_at)) is not None and since_at <= written_at
    }


class Cancellations:
    """Which visits their patients have cancelled in SmartIA's chat; each is asked about once a run.

    The chatbot says that the visit was cancelled and leaves it in the book. It notes neither which
    visit nor when, only when the chat began and when it was last changed. So every visit counts
    that was booked before the chat ended and starts after it began: in doubt for the patient. A
    later chat about something else changes nothing. The chatbot keeps a second patient row for a
    number without its ninth digit, so people are identified by phone.
    """

    def __init__(self, identify: Callable[[int, str | None], str]) -> None:
        """Ask nothing yet.

        Args:
            identify: returns what identifies a person, given a patient's id and stored phone.
        """
        self._identify = identify
        self._known: dict[Appointment, bool] = {}

    def among(self, connection: Connection, visits: Collection[Appointment]) -> set[int]:
        """Return the ids of those visits that were cancelled after booking and before their start.

        A visit without a time of booking counts as booked before every chat.
        """
        new = [visit for visit in visits if visit not in self._known]
        for first in range(0, len(new), _CHUNK):
            some = new[first : first + _CHUNK]
            chats = self._chats(connection, {visit.patient_id for visit in some})
            for visit in some:
                spans = chats.get(self._identify(visit.patient_id, visit.phone), ())
                self._known[visit] = any(_concerns(visit, span) for span in spans)
        return {visit.id for visit in visits if self._known[visit]}

    def _chats(
        self, connection: Connection, patient_ids: Collection[int]
    ) -> dict[str, list[_Span]]:
        began = func.coalesce(conversations.c.created_at, conversations.c.updated_at)
        changed = func.coalesce(conversations.c.updated_at, conversations.c.created_at)
        query = (
            select(
                patients.c.id,
                patients.c.phone_number,
                began.label("began"),
                changed.label("changed"),
            )
            .join(patients, patients.c.id == conversations.c.patient_id)
            .where(
                is_about(CANCELLED),
                or_(patients.c.id.in_(sorted(patient_ids)), phone_ends_like(patient_ids)),
                # PostgreSQL's calendar is wider than Python's.
                *(at.between("0002-01-01", "9998-12-31") for at in (began, changed)),
            )
        )
        spans: dict[str, list[_Span]] = {}
        for row in connection.execute(query):
            from_at, to_at = read_booked_at(row.began), read_booked_at(row.changed)
            if from_at is not None and to_at is not None:
                person = self._identify(row.id, row.phone_number)
                spans.setdefault(person, []).append((from_at, to_at))
        return spans


def _concerns(visit: Appointment, chat: _Span) -> bool:
    began_at, changed_at = chat
    if visit.start_at is None or began_at >= visit.start_at:
        return False
    return visit.booked_at is None or changed_at > visit.booked_at
