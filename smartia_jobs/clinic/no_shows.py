"""Which visits are no-shows, whether anybody records who comes, and changing a status."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, cast, extract, select, update

from smartia_jobs.appointment import OPEN, Appointment, AppointmentStatus
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.interactions import stored_utc
from smartia_jobs.clinic.rules.no_shows import NoShowRule
from smartia_jobs.clinic.rules.window import Window
from smartia_jobs.clinic.tables import appointments
from smartia_jobs.clinic.times import StoredTimes

#: How far back open visits are counted, for a warning.
OLDEST_COUNTED = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class LookBack:
    """The visits of the look-back that matter.

    Attributes:
        no_shows: earliest first.
        unreadable_statuses: how many visits have a status that cannot be read.
        unreadable_dates: how many others have such a date.
    """

    no_shows: tuple[Appointment, ...]
    unreadable_statuses: int
    unreadable_dates: int


def find_no_shows(
    connection: Connection, appointments: Appointments, rule: NoShowRule, now: datetime
) -> LookBack:
    """Return the visits that are no-shows at ``now``; nothing is marked."""
    no_shows: list[Appointment] = []
    statuses = dates = 0
    for page in appointments.pages(connection, rule.window(now)):
        no_shows.extend(visit for visit in page if rule.is_no_show(visit, now))
        statuses += sum(visit.status is None for visit in page)
        dates += sum(visit.status is not None and visit.start_at is None for visit in page)
    return LookBack(tuple(no_shows), statuses, dates)


@dataclass(frozen=True, slots=True)
class Attendance:
    """Whether the clinic records who comes: what the look-back says.

    Attributes:
        missing: past visits that are open or NO_SHOW.
        completed: visits that are COMPLETED.
    """

    missing: int
    completed: int


def count_attendance(
    connection: Connection, appointments: Appointments, rule: NoShowRule, now: datetime
) -> Attendance:
    """Count the visits of the look-back that show whether anybody records who comes.

    They are read as :func:`find_no_shows` reads them, so that the brake sees every visit that can
    be marked, however its date is stored.
    """
    window = rule.window(now)
    missing = {*OPEN, AppointmentStatus.NO_SHOW}
    completed = {AppointmentStatus.COMPLETED}
    return Attendance(
        missing=appointments.count(connection, window, statuses=missing),
        completed=appointments.count(connection, Window(window.from_at, now), statuses=completed),
    )


def count_left_open(
    connection: Connection, times: StoredTimes, rule: NoShowRule, now: datetime
) -> int:
    """Return how many visits before the look-back, up to 90 days ago, are still open."""
    from_at, to_at = now - OLDEST_COUNTED, now - rule.lookback
    date = appointments.c.appointment_date
    # In this order: SQLite asks the status, which is in the index, before it reads any date.
    query = select(date).where(
        appointments.c.status.in_(sorted(OPEN)), times.near(date, from_at, to_at)
    )
    return sum(times.is_within(stored, from_at, to_at) for stored in connection.scalars(query))


def stored_dates(connection: Connection, ids: Collection[int]) -> dict[int, str]:
    """Return the stored dates of these visits for comparison, by id.

    They change when a visit is moved, and not with the time settings. Text on SQLite; seconds on
    PostgreSQL, where a date's text would depend on the session's zone.
    """
    date: ColumnElement[Any] = appointments.c.appointment_date
    if connection.dialect.name == "postgresql":
        date = extract("epoch", date)
    query = select(appointments.c.id, cast(date, Text).label("stored"))
    rows = connection.execute(query.where(appointments.c.id.in_(sorted(ids))))
    return {row.id: row.stored for row in rows}


def change_status(
    connection: Connection,
    ids: Collection[int],
    *,
    before: AppointmentStatus,
    after: AppointmentStatus,
    at: datetime,
) -> set[int]:
    """Change the status of visits that still have the one that was read; return their ids.

    A visit whose status somebody else has set stays theirs.

    Args:
        connection: a writing transaction.
        ids: which.
        before: the status as it was read.
        after: the new one.
        at: noted as the moment of the change.
    """
    statement = (
        update(appointments)
        .where(appointments.c.id.in_(sorted(ids)), appointments.c.status == before)
        .values(status=after, updated_at=stored_utc(connection, at))
        .returning(appointments.c.id)
    )
    return set(connection.execute(statement).scalars())
