"""Whom the reception should call: the reasons, their order, and what to do about each; pure."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.incoming import Meaning
from smartia_jobs.store.effects import Effect
from smartia_jobs.store.reminded import Reminder
from smartia_jobs.store.states import State
from smartia_jobs.store.status_changes import StatusChange
from smartia_jobs.store.told import Telling
from smartia_jobs.store.unsettled import Unsettled

#: How long an answer stays on the list: after its visit, or after it came if no visit is known.
LISTED_FOR = timedelta(days=7)
#: Unconfirmed visits that were booked this many local days ahead are listed.
LONG_AHEAD_DAYS = 30


class Why(StrEnum):
    """Why somebody is on the list, the most urgent first: the order is fixed and documented."""

    #: The patient answered that they cannot come.
    WANTS_TO_CANCEL = "wants_to_cancel"
    WANTS_TO_MOVE = "wants_to_move"
    #: SmartIA's chatbot said that the visit was cancelled, and left it in the book.
    CANCELLED_IN_CHAT = "cancelled_in_chat"
    #: A person must read the patient's answer.
    UNCLEAR_ANSWER = "unclear_answer"
    #: The patient's own tap has cancelled the visit.
    SLOT_FREED = "slot_freed"
    #: The patient's answer was undone, and the patient does not know.
    ANSWER_UNDONE = "answer_undone"
    #: After the reminder the visit was cancelled, moved, or given to somebody else.
    TOLD_OTHERWISE = "told_otherwise"
    #: WhatsApp could not deliver the reminder, or refused it.
    NOT_REACHED = "not_reached"
    #: No phone, or one that no person can have.
    NO_USABLE_NUMBER = "no_usable_number"
    #: Somebody answered that the number is not the patient's.
    NUMBER_DISPUTED = "number_disputed"
    #: Nobody knows whether the reminder arrived.
    UNKNOWN = "unknown"
    #: Not sent yet; the next run tries again.
    RETRY = "retry"
    #: No reminder was sent while it was useful.
    TOO_LATE = "too_late"
    #: The person wants no message at all.
    ASKED_FOR_NO_MESSAGES = "asked_for_no_messages"
    #: The patient had said no; the visit is over and still open in SmartIA.
    TO_CLOSE = "to_close"
    #: Not confirmed, and the patient's last visit before this one was missed.
    MISSED_LAST_TIME = "missed_last_time"
    #: Not confirmed, and booked 30 days ahead or more.
    BOOKED_LONG_AHEAD = "booked_long_ahead"

    @property
    def urgency(self) -> int:
        """Its place in the order, from 1."""
        return _ORDER[self]


_ORDER: Mapping[Why, int] = {why: place for place, why in enumerate(Why, start=1)}

#: What the person who calls should do about each.
WHAT: Mapping[Why, str] = {
    Why.WANTS_TO_CANCEL: "Speak with the patient; cancel the visit in SmartIA.",
    Why.WANTS_TO_MOVE: "Offer another time; move the visit in SmartIA.",
    Why.CANCELLED_IN_CHAT: "Ask whether the visit is off; if so, cancel it in SmartIA.",
    Why.UNCLEAR_ANSWER: "Read the answer in WhatsApp, and reply to the patient.",
    Why.SLOT_FREED: "Offer the time to somebody else; remove it from the calendar.",
    Why.ANSWER_UNDONE: "Tell the patient how the visit stands now.",
    Why.TOLD_OTHERWISE: "Tell the patient what has changed.",
    Why.NOT_REACHED: "Call and remind the patient; correct the number in SmartIA if it is wrong.",
    Why.NO_USABLE_NUMBER: "Find the right number, and correct it in SmartIA.",
    Why.NUMBER_DISPUTED: (
        "Find the right number another way, and correct it in SmartIA; do not speak of the visit"
        " at this one."
    ),
    Why.UNKNOWN: "Call and remind the patient: the message may not have arrived.",
    Why.RETRY: "Call and remind the patient if the visit is near: the message waits to be sent.",
    Why.TOO_LATE: "Call and remind the patient: no message will be sent any more.",
    Why.ASKED_FOR_NO_MESSAGES: "Call and remind the patient; do not write.",
    Why.TO_CLOSE: "Close the visit in SmartIA: its patient had said no.",
    Why.MISSED_LAST_TIME: "Call and ask whether the patient will come.",
    Why.BOOKED_LONG_AHEAD: "Call and ask whether the patient will come.",
}


def why_listed(answer: Unsettled) -> Why:
    """Return why an answer that is for a person is on the list."""
    if answer.effect == Effect.CANCELLED:
        return Why.SLOT_FREED
    if answer.effect == Effect.UNDONE:
        return Why.ANSWER_UNDONE
    match answer.meaning:
        case Meaning.CANCEL:
            return Why.WANTS_TO_CANCEL
        case Meaning.MOVE:
            return Why.WANTS_TO_MOVE
        case Meaning.NOT_ME:
            return Why.NUMBER_DISPUTED
        case _:  # also a confirmation of a visit that has changed
            return Why.UNCLEAR_ANSWER


def why_now(answer: Unsettled, start: datetime, wall_now: datetime) -> Why | None:
    """Return why an answer about a visit at this time is on the list now; None: it is too late.

    Args:
        answer: what was said.
        start: when the visit begins, clinic wall time.
        wall_now: what the clinic's clock shows.
    """
    why, ahead = why_listed(answer), start > wall_now
    if why is Why.NUMBER_DISPUTED or ahead:
        return why
    if why in (Why.SLOT_FREED, Why.ANSWER_UNDONE) or wall_now - start >= LISTED_FOR:
        return None
    return Why.TO_CLOSE if why in (Why.WANTS_TO_CANCEL, Why.WANTS_TO_MOVE) else why


def stands(
    answer: Unsettled,
    told: Telling,
    visit: Appointment | None,
    *,
    phone: str | None,
    notes: Sequence[StatusChange],
    updated_at: datetime | None,
) -> bool:
    """Return whether nobody has done anything in SmartIA yet about an answer and its visit.

    Whoever moves the visit, gives it to somebody else, corrects the phone or sets another status
    settles the answer; what another answer has changed does not. Where it was noted how the answer
    found the visit, that counts. Else the visit must have been changed since the answer came.

    Args:
        answer: what was said.
        told: the visit as the patient was told it.
        visit: as it is now; None when it is gone.
        phone: of the patient who was told, canonical; None: none that can be used.
        notes: what answers have done to this visit, the oldest first.
        updated_at: when SmartIA's row was last changed; None: not recorded.
    """
    same_phone = told.phone in (None, phone)
    if answer.meaning == Meaning.NOT_ME:
        return same_phone
    noted = next((note for note in reversed(notes) if note.answer_id == answer.id), None)
    if visit is None:
        return noted is None  # it may have been gone before the answer came
    others = {note.after for note in notes if note.answer_id != answer.id and not note.undone}
    if why_listed(answer) is not Why.UNCLEAR_ANSWER:
        others = set()  # it asks for another status, and there is one
    if noted is not None:
        left_in = noted.before if answer.effect == Effect.UNDONE else noted.after
        same_visit = (visit.patient_id, visit.start) == (noted.patient_id, noted.start)
        return same_visit and same_phone and visit.status in {left_in, *others}
    if updated_at is not None and updated_at <= answer.received_at:
        return True
    same_visit = (visit.patient_id, visit.start) == (told.patient_id, told.start)
    same_status = told.status is None or visit.status in {told.status, *others}
    return same_visit and same_phone and same_status


_ARRIVED = frozenset({State.DELIVERED, State.READ})
_NOT_ARRIVED = frozenset({State.UNDELIVERED, State.FAILED})


def why_not_reached(visit: Appointment, rows: Sequence[Reminder], *, is_near: bool) -> Why | None:
    """Return why a patient may not know of a visit, by what was sent about this very time.

    Args:
        visit: an open one, ahead.
        rows: its reminders of this time to this phone.
        is_near: whether it is today or tomorrow.
    """
    if not rows or any(row.state in _ARRIVED for row in rows):
        return None
    newest = max(rows, key=lambda row: (row.at, row.id))
    confirmed = visit.status is AppointmentStatus.CONFIRMED
    if confirmed and newest.status != AppointmentStatus.CONFIRMED:
        return None  # somebody has spoken with the patient since
    decided = [row for row in rows if row.state in _NOT_ARRIVED or row.state is State.SENT]
    last = max(decided, key=lambda row: (row.at, row.id), default=None)
    if last is not None:
        return None if last.state is State.SENT else Why.NOT_REACHED
    states = {row.state for row in rows}
    if State.UNKNOWN in states:
        return Why.UNKNOWN
    return Why.RETRY if State.RETRY in states and is_near else None


def was_told(rows: Collection[Reminder]) -> bool:
    """Return whether a reminder was sent, is being sent, or was refused."""
    return any(row.state is not State.EXPIRED for row in rows)
