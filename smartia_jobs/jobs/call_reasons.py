"""Finding the reasons to call somebody: everything is read once, and then each rule looks at it.

The number of queries does not grow with the visits, but for one more for each 500 ids.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import partial

from sqlalchemy import Connection

from smartia_jobs.appointment import Appointment, AppointmentStatus, Key
from smartia_jobs.catalogue.loading import load_catalogue
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.calls import (
    Patient,
    changed_at,
    no_show_last_time,
    patients_by_id,
    patients_by_phone,
)
from smartia_jobs.clinic.chats import Cancellations
from smartia_jobs.clinic.rules import calls as rules
from smartia_jobs.clinic.rules.calls import Why
from smartia_jobs.clinic.rules.reminders import ReminderRule, days_ahead
from smartia_jobs.clinic.rules.window import Window
from smartia_jobs.clinic.times import to_instant, to_wall
from smartia_jobs.clinic.vetoes import vetoes
from smartia_jobs.incoming import Meaning
from smartia_jobs.jobs.sender import person_of
from smartia_jobs.phones import canonical_phone
from smartia_jobs.report import Reason
from smartia_jobs.run import Run
from smartia_jobs.store.reminded import (
    TOLD,
    Reminder,
    kinds_used_since,
    reminders_of,
    reminders_to,
    visits_told_ahead,
)
from smartia_jobs.store.schema import tables_exist
from smartia_jobs.store.states import State
from smartia_jobs.store.status_changes import changes_by_answers
from smartia_jobs.store.told import Telling
from smartia_jobs.store.unsettled import Unsettled, unsettled_answers, visits_declined

#: Visits asked about at once.
_CHUNK = 500

#: Vetoes against a message that are reasons to call instead.
_VETOES = {
    Reason.OPTED_OUT: Why.ASKED_FOR_NO_MESSAGES,
    Reason.NUMBER_DISPUTED: Why.NUMBER_DISPUTED,
    Reason.UNREACHABLE: Why.NOT_REACHED,
}


@dataclass(frozen=True, slots=True)
class Changed:
    """How a visit differs from what its patient was told.

    Attributes:
        start: when it is now, clinic wall time; None: it was cancelled, or is gone.
        given_away: it is another patient's.
    """

    start: datetime | None = None
    given_away: bool = False

    def __str__(self) -> str:
        """Say it."""
        if self.given_away:
            return "The time was given to somebody else"
        if self.start is None:
            return "The visit was cancelled"
        return f"The visit is now at {self.start:%Y-%m-%d %H:%M}"


@dataclass(frozen=True, slots=True)
class CallReason:
    """One reason to call somebody about one visit, or phone.

    Attributes:
        why: the reason.
        appointment_id: which visit; None: about a phone.
        start: when it is, or what the patient was told; clinic wall time.
        patient_id: whom to call.
        phone: canonical where it can be a phone.
        name: as stored.
        answer: what the patient answered, where that is the reason.
        changed: how the visit differs from what the patient was told.
    """

    why: Why
    appointment_id: int | None
    start: datetime | None
    patient_id: int | None
    phone: str | None
    name: str | None
    answer: Unsettled | None = None
    changed: Changed | None = None


@dataclass(frozen=True, slots=True)
class Book:
    """What the list is made from, read in one transaction.

    Attributes:
        run: what to work with.
        appointments: SmartIA's.
        wall_now: what the clinic's clock shows.
        wanted: when a visit must start to be listed for what outbox and book say about it.
        ahead: all open visits from now until the latest that anybody was told.
        past: open visits that began up to a week ago.
        answers: those that are for a person and not settled.
        visits: all of these, and those that answers and messages are about, by id.
        reminders: what was sent about them, by appointment.
        knows_messages: our own tables are there.
    """

    run: Run
    appointments: Appointments
    wall_now: datetime
    wanted: Window
    ahead: tuple[Appointment, ...]
    past: tuple[Appointment, ...]
    answers: tuple[Unsettled, ...]
    visits: Mapping[int, Appointment]
    reminders: Mapping[int, list[Reminder]]
    knows_messages: bool
    cancellations: Cancellations = field(repr=False)

    @classmethod
    def read(
        cls, connection: Connection, run: Run, appointments: Appointments, *, day: date | None
    ) -> "Book":
        """Read what the list for ``day`` is made from; None: the rest of today, and tomorrow."""
        zone, country = run.settings.clinic_timezone, run.settings.clinic_country
        wall_now = to_wall(run.now, zone)
        first, last = (day, day) if day else (wall_now.date(), wall_now.date() + timedelta(days=1))
        wanted = Window(
            max(run.now, to_instant(datetime.combine(first, time()), zone)),
            to_instant(datetime.combine(last + timedelta(days=1), time()), zone)
            - timedelta.resolution,
        )
        known = tables_exist(connection)
        told = visits_told_ahead(connection, wall_now) if known else {}
        answers = unsettled_answers(connection, now=run.now) if known else []
        until = max([wanted.until_at, *(to_instant(start, zone) for start in told.values())])
        ahead = _open(connection, appointments, Window(run.now, until))
        past = _open(
            connection,
            appointments,
            Window(run.now - rules.LISTED_FOR, run.now - timedelta.resolution),
        )
        visits = {visit.id: visit for visit in (*ahead, *past)}
        others = {one.appointment_id for answer in answers for one in answer.told} | told.keys()
        visits |= appointments.by_id(connection, others - visits.keys())
        looked_at = {visit.id for visit in ahead} | told.keys()
        reminders: dict[int, list[Reminder]] = {}
        if known:
            for row in reminders_of(connection, looked_at, now=run.now):
                reminders.setdefault(row.appointment_id, []).append(row)
        return cls(
            run=run,
            appointments=appointments,
            wall_now=wall_now,
            wanted=wanted,
            ahead=ahead,
            past=past,
            answers=tuple(answers),
            visits=visits,
            reminders=reminders,
            knows_messages=known,
            cancellations=Cancellations(partial(person_of, country=country)),
        )

    def phone_of(self, visit: Appointment | Patient) -> str | None:
        """Return the canonical phone; None: none that can be used."""
        return self.canonical(visit.phone)

    def canonical(self, stored: str | None) -> str | None:
        """Return a stored phone as phones are compared; None: it cannot be one."""
        return canonical_phone(stored, self.run.settings.clinic_country)

    @property
    def wanted_visits(self) -> list[Appointment]:
        """The open visits of the days that are asked for."""
        return [visit for visit in self.ahead if visit.start_at and visit.start_at in self.wanted]

    def about(self, visit: Appointment, why: Why) -> CallReason:
        """Return that a visit's own patient should be called."""
        return CallReason(
            why,
            visit.id,
            visit.start,
            visit.patient_id,
            self.phone_of(visit) or visit.phone,
            visit.patient_name,
        )


def find_reasons(connection: Connection, book: Book) -> Iterator[CallReason]:
    """Yield every reason to call somebody, in no order."""
    if book.knows_messages:
        yield from _answered(connection, book)
        yield from _told_otherwise(connection, book)
    yield from _cancelled_in_chat(connection, book)
    yield from _not_reached(connection, book)
    yield from _likely_no_shows(connection, book)


def _answered(connection: Connection, book: Book) -> Iterator[CallReason]:
    """Yield what patients answered that nobody has done anything about yet."""
    ids = {one.appointment_id for answer in book.answers for one in answer.told}
    notes, changed = changes_by_answers(connection, ids), changed_at(connection, ids)
    patients = patients_by_id(connection, {one.patient_id for a in book.answers for one in a.told})
    for answer in book.answers:
        for told in answer.told:
            visit = book.visits.get(told.appointment_id)
            patient = patients.get(told.patient_id)
            if not rules.stands(
                answer,
                told,
                visit,
                phone=book.phone_of(patient) if patient else None,
                notes=notes.get(told.appointment_id, ()),
                updated_at=changed.get(told.appointment_id),
            ):
                continue
            why = rules.why_now(answer, told.start, book.wall_now)
            if why is not None:
                yield _of_answer(book, why, answer, told, patient)
    yield from _of_phones(connection, book)


def _of_answer(
    book: Book, why: Why, answer: Unsettled, told: Telling, patient: Patient | None
) -> CallReason:
    """Return the reason to call who answered: the visit may be somebody else's by now."""
    name, stored = (patient.name, patient.phone) if patient else (None, None)
    phone = told.phone or book.canonical(stored) or book.canonical(answer.phone)
    return CallReason(why, told.appointment_id, told.start, told.patient_id, phone, name, answer)


def _of_phones(connection: Connection, book: Book) -> Iterator[CallReason]:
    """Yield answers that are about an unknown visit."""
    wordless = [answer for answer in book.answers if not answer.told]
    phones = {answer.id: book.canonical(answer.phone) for answer in wordless}
    patients = patients_by_phone(
        connection, {phone for phone in phones.values() if phone}, book.run.settings.clinic_country
    )
    for answer in wordless:
        phone = phones[answer.id]
        patient = patients.get(phone or "")
        if answer.meaning == Meaning.NOT_ME:
            if phone is not None and patient is None:
                continue  # somebody has corrected the number
        elif book.run.now - answer.received_at >= rules.LISTED_FOR:
            continue
        why = rules.why_listed(answer)
        patient_id, name = (patient.id, patient.name) if patient else (None, None)
        yield CallReason(why, None, None, patient_id, phone or answer.phone, name, answer)


def _told_otherwise(connection: Connection, book: Book) -> Iterator[CallReason]:
    """Yield who was told a time that no longer holds, and has not been told since."""
    taken = {(book.phone_of(visit), visit.start) for visit in book.ahead}
    off: list[tuple[Reminder, Changed]] = []
    for appointment_id, rows in book.reminders.items():
        visit = book.visits.get(appointment_id)
        if any(row.state is State.CLAIMED for row in rows):
            continue  # they are being told
        for newest in _last_told(rows):
            holds = newest.start <= book.wall_now or (newest.phone, newest.start) in taken
            changed = None if holds else _differs(book, newest, visit)
            if changed is not None:
                off.append((newest, changed))
    ids = {row.appointment_id for row, _ in off}
    know = visits_declined(connection, ids)
    in_chat = book.cancellations.among(
        connection, [book.visits[one] for one in sorted(ids) if one in book.visits]
    )
    patients = patients_by_id(connection, {row.patient_id for row, _ in off})
    for row, changed in off:
        if (row.appointment_id, row.start) in know or row.appointment_id in in_chat:
            continue  # they asked for the change themselves
        patient = patients.get(row.patient_id)
        name = patient.name if patient else None
        phone = row.phone or (book.phone_of(patient) if patient else None)
        yield CallReason(
            Why.TOLD_OTHERWISE,
            row.appointment_id,
            row.start,
            row.patient_id,
            phone,
            name,
            changed=changed,
        )


def _last_told(rows: Collection[Reminder]) -> Iterator[Reminder]:
    """Yield what each patient of a visit was told last."""
    last: dict[int, Reminder] = {}
    for row in sorted(rows, key=lambda row: (row.at, row.id)):
        if row.state in TOLD:
            last[row.patient_id] = row
    yield from last.values()


def _differs(book: Book, told: Reminder, visit: Appointment | None) -> Changed | None:
    """Return how a visit differs from what its patient was told; None: it does not."""
    if visit is None or visit.status is AppointmentStatus.CANCELLED:
        return Changed()
    if not visit.is_open:
        return None
    if visit.patient_id != told.patient_id and told.phone not in (None, book.phone_of(visit)):
        return Changed(given_away=True)
    return None if visit.start in (None, told.start) else Changed(visit.start)


def _cancelled_in_chat(connection: Connection, book: Book) -> Iterator[CallReason]:
    """Yield visits that SmartIA's chatbot said were cancelled, and that are still in the book."""
    ahead = book.wanted_visits
    cancelled = book.cancellations.among(connection, [*ahead, *book.past])
    for visits, why in ((ahead, Why.CANCELLED_IN_CHAT), (book.past, Why.TO_CLOSE)):
        for visit in visits:
            if visit.id in cancelled:
                yield book.about(visit, why)


def _not_reached(connection: Connection, book: Book) -> Iterator[CallReason]:
    """Yield whom no message reaches, or may have reached."""
    wanted = book.wanted_visits
    sent = _sent_to(connection, book, wanted)
    vetoed = _vetoed(connection, book, wanted)
    too_late = _TooLate.of(connection, book)
    near = book.wall_now.date() + timedelta(days=1)
    for visit in wanted:
        phone = book.phone_of(visit)
        rows = [
            *(row for row in book.reminders.get(visit.id, ()) if _is_of(row, visit, phone)),
            *sent.get((phone or "", visit.start or book.wall_now), ()),
        ]
        veto = vetoed.get(visit.id)
        is_near = visit.start is not None and visit.start.date() <= near
        why = rules.why_not_reached(visit, rows, is_near=is_near)
        if veto is not None and veto is not Why.NOT_REACHED:
            yield book.about(visit, veto)
        elif phone is None:
            if visit.status is not AppointmentStatus.CONFIRMED:
                yield book.about(visit, Why.NO_USABLE_NUMBER)
        elif why is not None:
            yield book.about(visit, why)
        elif not rules.was_told(rows) and visit.status is not AppointmentStatus.CONFIRMED:
            if veto is not None:
                yield book.about(visit, veto)
            elif too_late.concerns(visit):
                yield book.about(visit, Why.TOO_LATE)


def _is_of(row: Reminder, visit: Appointment, phone: str | None) -> bool:
    """Whether a reminder tells this time to who has the visit now."""
    return row.start == visit.start and row.phone in (None, phone or visit.phone)


def _sent_to(
    connection: Connection, book: Book, visits: Collection[Appointment]
) -> dict[Key | tuple[str, datetime], list[Reminder]]:
    """Return what phones were told by other visits' messages, by phone and time.

    For the patient, a visit that was deleted and written again is the same visit.
    """
    found: dict[Key | tuple[str, datetime], list[Reminder]] = {}
    if not book.knows_messages or not visits:
        return found
    ids = {visit.id for visit in visits}
    phones = {phone for visit in visits if (phone := book.phone_of(visit)) is not None}
    for row in reminders_to(connection, phones, since=book.wall_now, now=book.run.now):
        if row.appointment_id not in ids and row.phone is not None and row.state in TOLD:
            found.setdefault((row.phone, row.start), []).append(row)
    return found


def _vetoed(connection: Connection, book: Book, visits: list[Appointment]) -> dict[int, Why]:
    """Return which of these visits no message is sent about, and why that is a reason to call."""
    found: dict[int, Why] = {}
    for first in range(0, len(visits), _CHUNK):
        reasons = vetoes(book.run, connection, visits[first : first + _CHUNK])
        found |= {one: _VETOES[why] for one, why in reasons.items() if why in _VETOES}
    return found


@dataclass(frozen=True, slots=True)
class _TooLate:
    """Which visits should have been reminded of, and no longer will be.

    Attributes:
        now: the moment of the list.
        rules: those of the kinds that this database sends, each with the time of its first message.
    """

    now: datetime
    rules: tuple[tuple[ReminderRule, datetime], ...]

    @classmethod
    def of(cls, connection: Connection, book: Book) -> "_TooLate":
        """Ask which kinds are in use."""
        settings = book.run.settings
        used = kinds_used_since(connection) if book.knows_messages else {}
        kinds = load_catalogue(settings.messages_file).reminders if used else {}
        in_use = [(kind, used[name]) for name, kind in kinds.items() if name in used]
        return cls(
            book.run.now,
            tuple((ReminderRule.of(settings, kind), since) for kind, since in in_use),
        )

    def concerns(self, visit: Appointment) -> bool:
        """Whether a kind should have reminded of this visit, and none can any longer."""
        if visit.start_at is None:
            return False
        may_come = (visit.start_at >= self.now + rule.times.latest for rule, _ in self.rules)
        should = (
            rule.could_have_been_reminded(visit) and rule.was_in_time(visit, since)
            for rule, since in self.rules
        )
        return not any(may_come) and any(should)


def _likely_no_shows(connection: Connection, book: Book) -> Iterator[CallReason]:
    """Yield unconfirmed visits whose patients are less likely to come."""
    unconfirmed = [
        visit for visit in book.wanted_visits if visit.status is AppointmentStatus.SCHEDULED
    ]
    absent = no_show_last_time(
        connection,
        book.appointments.times,
        {visit.patient_id for visit in unconfirmed},
        before=book.run.now,
    )
    for visit in unconfirmed:
        if visit.patient_id in absent:
            yield book.about(visit, Why.MISSED_LAST_TIME)
        ahead = days_ahead(visit, book.run.settings.clinic_timezone)
        if ahead is not None and ahead >= rules.LONG_AHEAD_DAYS:
            yield book.about(visit, Why.BOOKED_LONG_AHEAD)


def _open(
    connection: Connection, appointments: Appointments, window: Window
) -> tuple[Appointment, ...]:
    """Return the open visits of a window whose date and status can be read."""
    return tuple(
        visit
        for page in appointments.pages(connection, window)
        for visit in page
        if visit.is_open and visit.start_at is not None
    )
