"""Whom the reception should call, and why: one line for each visit, the most urgent first."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from smartia_jobs.clinic.calls import calendar_events
from smartia_jobs.clinic.rules.calls import WHAT, Why
from smartia_jobs.clinic.times import to_wall
from smartia_jobs.jobs.call_reasons import Book, CallReason, Changed, find_reasons
from smartia_jobs.jobs.opening import open_clinic
from smartia_jobs.run import Run


@dataclass(frozen=True, slots=True)
class Call:
    """One line: a visit, or a phone where nobody can tell which visit is meant.

    Attributes:
        why: the most urgent reason.
        also: the others, in their order.
        appointment_id: which visit; None: about a phone.
        patient_id: whom to call; None: not known.
        answer_id: what ``replies settle`` takes; None: there is no answer.
        start: of the visit, or as the patient was told; clinic wall time. None: no visit.
        phone: canonical, or as stored where it cannot be a phone; None: none.
        name: as stored; None: none.
        text: what the patient wrote; None: nothing.
        answer_type: what kind of message that was: ``text``, ``button``, ``audio``, ...
        changed: how a visit differs from what its patient was told.
        calendar_event_id: what to remove from the calendar; None: not noted, or not to be read.
    """

    why: Why
    also: tuple[Why, ...] = ()
    appointment_id: int | None = None
    patient_id: int | None = None
    answer_id: int | None = None
    start: datetime | None = None
    phone: str | None = None
    name: str | None = None
    text: str | None = None
    answer_type: str | None = None
    changed: Changed | None = None
    calendar_event_id: str | None = None

    @property
    def what(self) -> str:
        """What to do, in one line."""
        if self.why is Why.SLOT_FREED and self.calendar_event_id:
            return f"{WHAT[self.why]} Calendar event: {self.calendar_event_id}."
        if self.why is Why.TOLD_OTHERWISE and self.changed is not None:
            return f"{WHAT[self.why]} {self.changed}."
        return WHAT[self.why]


@dataclass(frozen=True, slots=True)
class CallList:
    """Whom to call.

    Attributes:
        made_at: when the list was made, aware, in the clinic's zone.
        day: the one asked for; None: the rest of today, tomorrow, and what is unsettled.
        calls: the most urgent first, of equally urgent ones the next visit first.
        knows_messages: False: this database has no tables of ours, so nothing was sent from it.
    """

    made_at: datetime
    day: date | None
    calls: tuple[Call, ...]
    knows_messages: bool = True


def list_calls(run: Run, *, day: date | None = None) -> CallList:
    """Return whom to call; nothing is written.

    Args:
        run: its database is only read from.
        day: only visits of this local day; None: the rest of today, tomorrow, and what is
            unsettled whenever it is.

    Raises:
        ConfigurationError: the database is not SmartIA's, the clinic's catalogue is wrong, our
            own tables are too old to be read, or how SmartIA's times are stored was not said.
    """
    # As in a dry run: a list makes no table and no index.
    appointments = open_clinic(replace(run, dry_run=True))
    with run.database.read() as connection:
        book = Book.read(connection, run, appointments, day=day)
        calls = _by_visit(find_reasons(connection, book))
        if day is not None:
            calls = [call for call in calls if call.start is not None and call.start.date() == day]
        freed = {c.appointment_id for c in calls if c.appointment_id and c.why is Why.SLOT_FREED}
        events = calendar_events(connection, freed) if freed else {}
    calls = [replace(c, calendar_event_id=events.get(c.appointment_id or 0)) for c in calls]
    return CallList(
        made_at=run.now.astimezone(run.settings.clinic_timezone),
        day=day,
        calls=tuple(sorted(calls, key=_order)),
        knows_messages=book.knows_messages,
    )


def named_day(word: str, run: Run) -> date:
    """Return which local day ``today`` and ``tomorrow`` are."""
    today = to_wall(run.now, run.settings.clinic_timezone).date()
    return today + timedelta(days=word == "tomorrow")


def as_json(call: Call, *, phone: str | None) -> dict[str, Any]:
    """Return the JSON of one line (documented in the README), with the phone as it may be shown."""
    return {
        "appointment_id": call.appointment_id,
        "patient_id": call.patient_id,
        "answer_id": call.answer_id,
        "start": call.start and call.start.isoformat(),
        "why": str(call.why),
        "also": [str(why) for why in call.also],
        "what": call.what,
        "urgency": call.why.urgency,
        "phone": phone,
        "name": call.name,
        "text": call.text,
    }


def _by_visit(found: Iterable[CallReason]) -> list[Call]:
    """Group the reasons by visit, or by phone where no visit is known."""
    together: dict[tuple[str, object], list[CallReason]] = {}
    for one in found:
        key = ("phone", one.phone) if one.appointment_id is None else ("visit", one.appointment_id)
        if key == ("phone", None) and one.answer is not None:  # WhatsApp hid the number
            key = ("answer", one.answer.id)
        together.setdefault(key, []).append(one)
    return [_call(sorted(group, key=lambda one: one.why.urgency)) for group in together.values()]


def _call(group: list[CallReason]) -> Call:
    first = group[0]
    answer = next((one.answer for one in group if one.answer is not None), None)
    also = dict.fromkeys(one.why for one in group if one.why is not first.why)
    return Call(
        why=first.why,
        also=tuple(also),
        appointment_id=first.appointment_id,
        patient_id=first.patient_id,
        answer_id=answer.id if answer else None,
        start=first.start,
        phone=first.phone,
        name=first.name,
        text=answer.text if answer else None,
        answer_type=answer.type if answer else None,
        changed=next((one.changed for one in group if one.changed is not None), None),
    )


def _order(call: Call) -> tuple[int, datetime, int, str]:
    start = call.start or datetime.max  # noqa: DTZ901 - only to put phones without a visit last
    return call.why.urgency, start, call.appointment_id or 0, call.phone or ""
