"""What ``check`` asks about the clinic's rows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CTE, ColumnElement, Connection, Select, Text, cast, func, or_, select

from smartia_jobs.appointment import OPEN
from smartia_jobs.clinic.appointments import CLOSED
from smartia_jobs.clinic.chats import CANCELLED, MOVED, is_about
from smartia_jobs.clinic.tables import appointments, conversations, interactions, patients
from smartia_jobs.clinic.times import StoredTimes, read_booked_at, to_wall

#: Rows read at once.
PAGE_SIZE = 1000
#: How many ids a finding names; the rest is only counted.
SHOWN = 20

#: How many of SmartIA's newest interactions are looked at.
_NEWEST_INTERACTIONS = 50_000

#: No clinic books further ahead.
_FUTURE = timedelta(days=3 * 365)

#: PostgreSQL's calendar is wider than ours.
_EARLIEST, _LATEST = datetime(1, 1, 2), datetime(9999, 12, 31)  # noqa: DTZ001 - bounds in SQL


@dataclass(frozen=True, slots=True)
class Matches:
    """How many there are, and the ids of the first :data:`SHOWN`."""

    count: int = 0
    ids: tuple[int, ...] = ()

    def with_more(self, ids: Sequence[int]) -> "Matches":
        """Return the same with these as well."""
        return Matches(self.count + len(ids), (*self.ids, *ids)[:SHOWN])


@dataclass(frozen=True, slots=True)
class Pairs:
    """How many pairs of visits there are, and the first :data:`SHOWN`: (old, new)."""

    count: int
    ids: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows as (id, stored value), and the id after which the next ones begin."""

    rows: tuple[tuple[int, object], ...]
    #: None after the last page.
    next: int | None


@dataclass(frozen=True, slots=True)
class StatusKept:
    """A status of a message that SmartIA keeps as an interaction: its id, and when (aware UTC)."""

    id: int
    at: datetime | None


def newest_status_kept(connection: Connection) -> StatusKept | None:
    """Return the newest status among SmartIA's latest interactions; None: it keeps none.

    SmartIA stores it as if the patient had written it.
    """
    row = interactions.c
    last = select(func.max(row.id)).scalar_subquery()
    # As text: enums differ in the case of their labels.
    query = (
        select(row.id, row.created_at)
        .where(
            row.id > last - _NEWEST_INTERACTIONS,
            func.lower(cast(row.type, Text)) == "incoming",
            func.lower(cast(row.message_type, Text)) == "status",
        )
        .order_by(row.id.desc())
        .limit(1)
    )
    found = connection.execute(query).first()
    return found and StatusKept(found.id, read_booked_at(found.created_at))


def hours_of_visits(
    connection: Connection, times: StoredTimes, from_at: datetime, to_at: datetime
) -> Counter[int]:
    """Return how many open visits of a span begin in each local hour."""
    visits = _open_visits(times, from_at, to_at)
    starts = map(times.read, connection.scalars(select(visits.c.appointment_date)))
    return Counter(
        to_wall(start_at, times.zone).hour
        for start_at in starts
        if start_at is not None and from_at <= start_at < to_at
    )


def people_expected(
    connection: Connection, times: StoredTimes, from_at: datetime, to_at: datetime
) -> int:
    """Return how many patients have an open visit in a span."""
    visits = _open_visits(times, from_at, to_at)
    rows = connection.execute(select(visits.c.patient_id, visits.c.appointment_date))
    return len({patient for patient, date in rows if times.is_within(date, from_at, to_at)})


def moved_by_chat(connection: Connection, times: StoredTimes, now: datetime) -> Pairs:
    """Return pairs of one patient's open future visits, the later made by a rescheduling chat.

    SmartIA's chatbot books the new time and leaves the old one in the book.
    """
    until = now + _FUTURE
    visits = _open_visits(times, now, until)
    old, new = visits.alias("old"), visits.alias("new")
    query = (
        select(old.c.id, new.c.id, old.c.appointment_date, new.c.appointment_date)
        .join_from(old, new, (new.c.patient_id == old.c.patient_id) & (new.c.id > old.c.id))
        .join(conversations, conversations.c.id == new.c.conversation_id)
        .where(is_about(MOVED))
        .order_by(old.c.id, new.c.id)
    )
    pairs = [
        (old_id, new_id)
        for old_id, new_id, *dates in connection.execute(query)
        if all(times.is_within(date, now, until) for date in dates)
    ]
    return Pairs(len(pairs), tuple(pairs[:SHOWN]))


def asked_to_cancel(connection: Connection, times: StoredTimes, now: datetime) -> Matches:
    """Return open future visits whose patient's newest conversation asked to cancel.

    SmartIA's chatbot leaves such a visit in the book.
    """
    until = now + _FUTURE
    visits = _open_visits(times, now, until)
    newest = (
        select(func.max(conversations.c.id))
        .where(conversations.c.patient_id.in_(select(visits.c.patient_id)))
        .group_by(conversations.c.patient_id)
    )
    query = (
        select(visits.c.id, visits.c.appointment_date)
        .join_from(visits, conversations, conversations.c.patient_id == visits.c.patient_id)
        .where(conversations.c.id.in_(newest), is_about(CANCELLED))
        .order_by(visits.c.id)
    )
    rows = connection.execute(query)
    return Matches().with_more([id_ for id_, date in rows if times.is_within(date, now, until)])


def open_dates(connection: Connection, after: int, *, size: int = PAGE_SIZE) -> Page:
    """Return a page of visits that are not closed, each with its date as it is stored.

    On PostgreSQL only those dates that no program's calendar holds (infinity, 44 BC), as text:
    all others can be read.
    """
    date: ColumnElement[Any] = appointments.c.appointment_date
    query = select(appointments.c.id, date.label("stored"))
    if connection.dialect.name == "postgresql":
        impossible = or_(~func.isfinite(date), date < _EARLIEST, date >= _LATEST)
        query = select(appointments.c.id, cast(date, Text).label("stored")).where(impossible)
    status = appointments.c.status
    query = query.where(
        appointments.c.id > after, or_(status.is_(None), status.not_in(CLOSED))
    ).order_by(appointments.c.id)
    return _page(connection, query, size)


def phones(connection: Connection, after: int, *, size: int = PAGE_SIZE) -> Page:
    """Return a page of patients, each with the phone as it is stored."""
    query = (
        select(patients.c.id, patients.c.phone_number.label("stored"))
        .where(patients.c.id > after)
        .order_by(patients.c.id)
    )
    return _page(connection, query, size)


def _page(connection: Connection, query: Select[Any], size: int) -> Page:
    rows = [(row.id, row.stored) for row in connection.execute(query.limit(size))]
    return Page(tuple(rows), rows[-1][0] if len(rows) == size else None)


def _open_visits(times: StoredTimes, from_at: datetime, to_at: datetime) -> CTE:
    """Return the open visits of a span, and a few around it."""
    date = appointments.c.appointment_date
    return (
        select(appointments.c.id, appointments.c.patient_id, appointments.c.conversation_id, date)
        .where(times.near(date, from_at, to_at), appointments.c.status.in_(sorted(OPEN)))
        .cte("open_visits")
    )
