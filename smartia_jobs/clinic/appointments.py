"""Reading appointments in keyset pages and again by id: plain values, no cursor left open."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    case,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from smartia_jobs.appointment import DEFAULT_DURATION, Appointment, AppointmentStatus
from smartia_jobs.clinic.phone_tails import phone_ends_like, phone_tail
from smartia_jobs.clinic.rules.window import Window
from smartia_jobs.clinic.tables import appointments, patients
from smartia_jobs.clinic.times import StoredTimes, read_booked_at, to_wall
from smartia_jobs.database import any_of, chunks

#: Rows read at once; each page is its own short transaction. With more, workers that wait for
#: a claim wait longer.
PAGE_SIZE = 200

#: Visits of any other status are looked at, so that an unset or unknown status is reported.
CLOSED = (
    AppointmentStatus.COMPLETED,
    AppointmentStatus.CANCELLED,
    AppointmentStatus.NO_SHOW,
)

#: A visit that is longer than a week is a typing mistake.
LONGEST_DURATION = timedelta(days=7)
_MOST_MINUTES = LONGEST_DURATION / timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the last page ended: the stored date, unchanged, and the id."""

    stored_date: Any
    appointment_id: int


@dataclass(frozen=True, slots=True)
class Page:
    """Up to ``PAGE_SIZE`` appointments, nearest first, and where the next page begins."""

    appointments: tuple[Appointment, ...]
    #: None after the last page.
    next: Cursor | None


class Appointments:
    """The questions asked of ``appointments``; values out, never a live row."""

    def __init__(self, times: StoredTimes) -> None:
        """Read dates as ``times`` says they are stored."""
        self.times = times

    def page(
        self,
        connection: Connection,
        window: Window,
        *,
        after: Cursor | None = None,
        statuses: Collection[AppointmentStatus] | None = None,
        size: int = PAGE_SIZE,
    ) -> Page:
        """Return the next appointments of ``window``, nearest first.

        Args:
            connection: inside a short transaction.
            window: exact edges; a row whose date cannot be read is returned when its stored
                text falls between them.
            after: where the last page ended; None for the first.
            statuses: only these; None for every status that is not closed (open, unset and
                unknown ones).
            size: rows compared in SQL; fewer may be left after the exact filter.
        """
        query = (
            _select()
            .where(*self._within(window, statuses))
            .order_by(appointments.c.appointment_date, appointments.c.id)
            .limit(size)
        )
        if after is not None:
            query = query.where(
                tuple_(appointments.c.appointment_date, appointments.c.id)
                > tuple_(
                    literal(after.stored_date, appointments.c.appointment_date.type),
                    literal(after.appointment_id),
                )
            )
        rows = connection.execute(query).all()
        read = (self._appointment(row) for row in rows)
        return Page(
            appointments=tuple(a for a in read if a.start_at is None or a.start_at in window),
            next=Cursor(rows[-1].appointment_date, rows[-1].id) if len(rows) == size else None,
        )

    def count(
        self,
        connection: Connection,
        window: Window,
        *,
        statuses: Collection[AppointmentStatus] | None = None,
    ) -> int:
        """Return how many appointments :meth:`pages` yields for ``window``."""
        query = select(appointments.c.appointment_date).where(*self._within(window, statuses))
        starts = map(self.times.read, connection.scalars(query))
        return sum(start_at is None or start_at in window for start_at in starts)

    def pages(
        self,
        connection: Connection,
        window: Window,
        *,
        statuses: Collection[AppointmentStatus] | None = None,
    ) -> Iterator[Sequence[Appointment]]:
        """Yield all pages of ``window`` within the caller's one transaction."""
        after: Cursor | None = None
        while True:
            page = self.page(connection, window, after=after, statuses=statuses)
            yield page.appointments
            if page.next is None:
                return
            after = page.next

    def by_id(
        self, connection: Connection, ids: Collection[int], *, lock: bool = False
    ) -> dict[int, Appointment]:
        """Return the appointments as they are now, by id; one that is gone is not among them.

        Args:
            connection: inside a short transaction.
            ids: which.
            lock: let nobody else change them until the transaction ends. One that somebody is
                changing right now is left out, without waiting.
        """
        found: dict[int, Appointment] = {}
        for some in chunks(ids):
            rows = connection.execute(_by_id(lock=lock), {"ids": some})
            found.update((row.id, self._appointment(row)) for row in rows)
        return found

    def sharing_phones(
        self, connection: Connection, patient_ids: Collection[int], *, from_at: datetime
    ) -> list[Appointment]:
        """Return all visits from ``from_at`` on whose phone ends like one of these patients'.

        Of any status, and including the patients' own: a superset of the same people's visits,
        however their phones were typed.
        """
        query = _select().where(
            appointments.c.appointment_date >= self.times.lower_bound(from_at),
            phone_ends_like(patient_ids),
        )
        read = (self._appointment(row) for row in connection.execute(query))
        return [a for a in read if a.start_at is not None and a.start_at >= from_at]

    def companions(self, connection: Connection, window: Window) -> dict[int, tuple[int, ...]]:
        """Return, for each open visit whose phone ends like another's, all ids that share it.

        A superset of the visits that one person has on one day, found in one pass so that
        nobody's second visit is overlooked because it lies in a later page. It holds nothing
        for the many who have one visit.
        """
        tail = phone_tail()
        in_window = (
            select(appointments.c.id, tail.label("tail"))
            .join(patients, patients.c.id == appointments.c.patient_id)
            .where(*self._within(window, None))
            .subquery()
        )
        counted = select(
            in_window.c.id,
            in_window.c.tail,
            func.count().over(partition_by=in_window.c.tail).label("visits"),
        ).subquery()
        query = (
            select(counted.c.tail, counted.c.id)
            .where(counted.c.visits > 1)
            .order_by(counted.c.tail)
        )
        by_tail: dict[str, list[int]] = {}
        for row in connection.execute(query):
            by_tail.setdefault(row.tail, []).append(row.id)
        shared = (tuple(ids) for ids in by_tail.values())
        return {one: ids for ids in shared for one in ids}

    def _within(
        self, window: Window, statuses: Collection[AppointmentStatus] | None
    ) -> tuple[Any, ...]:
        """Return the conditions of ``window``, widened where dates are stored as wall time."""
        return (
            appointments.c.appointment_date >= self.times.lower_bound(window.from_at),
            appointments.c.appointment_date <= self.times.upper_bound(window.until_at),
            _has(statuses),
        )

    def _read_beginning(self, stored: Any) -> tuple[datetime | None, datetime | None]:
        """Return the instant, and the wall time to the minute."""
        start_at = self.times.read(stored)
        if start_at is None:
            return None, None
        return start_at, to_wall(start_at, self.times.zone).replace(second=0, microsecond=0)

    def _appointment(self, row: Row[Any]) -> Appointment:
        start_at, start = self._read_beginning(row.appointment_date)
        return Appointment(
            id=row.id,
            patient_id=row.patient_id,
            status=_status(row.status),
            start_at=start_at,
            start=start,
            duration=_duration(row.duration_minutes),
            booked_at=read_booked_at(row.created_at),
            patient_exists=row.found_patient_id is not None,
            patient_name=_text(row.name),
            phone=_text(row.phone_number),
        )


def _text(stored: Any) -> str | None:
    """Return a column's text; SQLite keeps whatever it was given, a number or a BLOB too."""
    if isinstance(stored, int):
        return str(stored)
    return stored if isinstance(stored, str) else None


@cache
def _select() -> Select[Any]:
    return select(
        appointments.c.id,
        appointments.c.patient_id,
        appointments.c.status,
        of_our_calendar(appointments.c.appointment_date),
        appointments.c.duration_minutes,
        of_our_calendar(appointments.c.created_at),
        patients.c.id.label("found_patient_id"),
        patients.c.name,
        patients.c.phone_number,
    ).join_from(appointments, patients, patients.c.id == appointments.c.patient_id, isouter=True)


@cache
def _by_id(*, lock: bool) -> Select[Any]:
    query = _select().where(any_of(appointments.c.id, "ids"))
    # Nothing on SQLite, where a writing transaction locks the whole file already.
    return query.with_for_update(of=appointments, skip_locked=True) if lock else query


def of_our_calendar(column: Column[Any]) -> ColumnElement[Any]:
    """Return NULL for a date outside Python's calendar: the year 20260 is easily typed."""
    return case((column.between("0002-01-01", "9998-12-31"), column)).label(column.name)


def _has(statuses: Collection[AppointmentStatus] | None) -> Any:
    if statuses is None:
        return or_(appointments.c.status.is_(None), appointments.c.status.not_in(CLOSED))
    return appointments.c.status.in_(sorted(statuses))


def _duration(minutes: Any) -> timedelta:
    # SQLite keeps whatever it is given, also in a column of whole numbers.
    if isinstance(minutes, (int, float)) and 0 < minutes <= _MOST_MINUTES:
        return timedelta(minutes=minutes)
    return DEFAULT_DURATION


def _status(stored: Any) -> AppointmentStatus | None:
    try:
        return AppointmentStatus(stored)
    except ValueError:
        return None
