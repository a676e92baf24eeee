"""Dates and statuses that this program cannot read, so that no job acts on their visits."""

from collections import Counter
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    cast,
    func,
    literal_column,
    or_,
    select,
    text,
)

from smartia_jobs.appointment import AppointmentStatus
from smartia_jobs.clinic.appointments import CLOSED
from smartia_jobs.clinic.index import INDEXES, IndexState, index_states
from smartia_jobs.clinic.tables import appointments
from smartia_jobs.clinic.times import StoredTimes

#: PostgreSQL's calendar is wider than Python's, and has infinity.
_EARLIEST, _LATEST = datetime(2, 1, 1), datetime(9999, 1, 1)  # noqa: DTZ001 - bounds in SQL

#: What every text that can be read looks like, to SQLite.
_DATE = "[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]?[0-2][0-9]:[0-5][0-9]*"

_YEARS = range(2015, 2061)
#: Between which texts other forms sort (``28/11/2026 09:30``, seconds since 1970, ``2026-1-5``):
#: an index reaches them at once, however many dates lie between.
_GAPS = (
    ("-9e999", f"'{_YEARS[0]}-0'"),
    *((f"'{year}-1-'", f"'{year}-1.'") for year in _YEARS),
    *((f"'{year}-13'", f"'{year + 1}-0'") for year in _YEARS[:-1]),
    (f"'{_YEARS[-1]}-13'", "x'ff'"),
)

_CLOSED = ", ".join(f"'{status}'" for status in CLOSED)
_UNREADABLE = (
    f"(status IS NULL OR status NOT IN ({_CLOSED})) AND appointment_date NOT GLOB '{_DATE}'"
)
# CROSS JOIN keeps SQLite to this order: the gaps first, each a look into the index.
_COUNT_IN_GAPS = (
    f"WITH gap(low, high) AS (VALUES {', '.join(f'({low}, {high})' for low, high in _GAPS)}) "  # noqa: S608 - constants
    "SELECT count(*) FROM gap CROSS JOIN appointments "
    f"WHERE appointment_date >= low AND appointment_date < high AND {_UNREADABLE}"
)
_COUNT_ALL = f"SELECT count(*) FROM appointments WHERE {_UNREADABLE}"  # noqa: S608 - constants


def count_dates_out_of_reach(connection: Connection) -> int:
    """Return how many visits that are not closed have a date that no run will ever find.

    The index on ``appointment_date`` finds them at once; without it all visits are read.
    """
    if connection.dialect.name == "sqlite":
        indexed = index_states(connection)[INDEXES[0]] is IndexState.PRESENT
        query = text(_COUNT_IN_GAPS if indexed else _COUNT_ALL)
        return int(connection.execute(query).scalar_one())
    status: ColumnElement[Any] = appointments.c.status
    return connection.execute(
        select(func.count())
        .select_from(appointments)
        .where(~_of_our_calendar(), or_(status.is_(None), status.not_in(CLOSED)))
    ).scalar_one()


def any_date_within_reach(connection: Connection) -> bool:
    """Whether any visit, of any status, has a date that can be read."""
    readable = (
        appointments.c.appointment_date.op("GLOB")(literal_column(f"'{_DATE}'"))
        if connection.dialect.name == "sqlite"
        else _of_our_calendar()
    )
    query = select(appointments.c.id).where(readable).limit(1)
    return connection.execute(query).first() is not None


def unknown_statuses(
    connection: Connection, times: StoredTimes, from_at: datetime
) -> Counter[str | None]:
    """Return how many visits from an instant on have a status of no known name, by that text."""
    stored = cast(appointments.c.status, Text)
    query = (
        select(stored.label("stored"), func.count().label("visits"))
        .where(
            appointments.c.appointment_date >= times.lower_bound(from_at),
            or_(stored.is_(None), stored.not_in(list(AppointmentStatus))),
        )
        .group_by(stored)
    )
    return Counter({row.stored: row.visits for row in connection.execute(query)})


def _of_our_calendar() -> ColumnElement[bool]:
    date: ColumnElement[Any] = appointments.c.appointment_date
    return (date >= _EARLIEST) & (date < _LATEST)
