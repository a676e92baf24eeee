"""What every job makes sure of before it looks at an appointment."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from smartia_jobs.appointment import Appointment
from smartia_jobs.clinic.access import hidden_rows
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.index import IndexState, ensure_indexes
from smartia_jobs.clinic.rules.window import Window
from smartia_jobs.clinic.schema import DateStorage, date_storage, require_smartia
from smartia_jobs.clinic.tables import metadata
from smartia_jobs.clinic.times import Storage, StoredTimes, to_instant, to_wall
from smartia_jobs.database import Database
from smartia_jobs.errors import ConfigurationError
from smartia_jobs.run import Run
from smartia_jobs.settings import Settings
from smartia_jobs.store.schema import ensure, tables_exist
from smartia_jobs.store.tables import metadata as ours

logger = logging.getLogger(__name__)


def open_clinic(run: Run) -> Appointments:
    """Return the appointments of a database, once it is clear that it is SmartIA's.

    A real run also creates or upgrades our own tables, and the indexes on SmartIA's.

    Raises:
        ConfigurationError: it is not, or ``STORED_TIMES`` is needed and not set.
    """
    with run.database.read() as connection:
        require_smartia(connection)
        chosen = choose_times(connection, run.settings)
        hidden = hidden_rows(connection, (*metadata.tables, *ours.tables))
    for one in hidden:
        logger.warning(
            "PostgreSQL's row level security %s of %s from this role; see smartia-jobs check",
            "hides every row" if one.wholly else "may hide rows",
            one.table,
        )
    if chosen.times is None:
        raise ConfigurationError(_undecided(run, chosen))
    if not run.dry_run:
        ensure(run.database, auto_migrate=run.settings.auto_migrate)
        for index, state in ensure_indexes(run.database).items():
            if state is not IndexState.PRESENT:
                logger.warning(
                    "there is no index on %s, so each run reads the whole table;"
                    " smartia-jobs db upgrade builds it",
                    index.on,
                )
    return Appointments(chosen.times)


@contextmanager
def our_tables(settings: Settings) -> Iterator[Database]:
    """Open a database that has tables of ours, for writing; SmartIA's own may be gone.

    Raises:
        ConfigurationError: it has none.
    """
    with closing(Database(settings.database_url)) as database:
        with database.read() as connection:
            known = tables_exist(connection)
            if not known:
                require_smartia(connection)
        if not known:
            raise ConfigurationError(
                "This database has no smartia-jobs tables yet: nothing was ever sent from it."
            )
        yield database


@dataclass(frozen=True, slots=True)
class ChosenTimes:
    """How this database's dates are understood, and how else they could be.

    Attributes:
        times: None as long as ``STORED_TIMES`` is needed and not set.
        other: PostgreSQL's ``timestamptz`` only: the way that was not chosen.
    """

    times: StoredTimes | None
    other: StoredTimes | None = None


def choose_times(connection: Connection, settings: Settings) -> ChosenTimes:
    """Return how dates are understood, by their type and ``STORED_TIMES``.

    Raises:
        ConfigurationError: the column is of no type for dates.
    """
    zone, stored = settings.clinic_timezone, date_storage(connection)
    if stored is not DateStorage.TIMESTAMPTZ:
        is_text = stored is DateStorage.TEXT
        return ChosenTimes(StoredTimes(Storage.TEXT if is_text else Storage.TIMESTAMP, zone))
    wall, instant = StoredTimes(Storage.WALL_AS_UTC, zone), StoredTimes(Storage.INSTANT, zone)
    if settings.stored_times is None:
        return ChosenTimes(None, wall)
    return (
        ChosenTimes(instant, wall)
        if settings.stored_times == "instant"
        else ChosenTimes(wall, instant)
    )


def both_ways(visit: Appointment, times: StoredTimes) -> str:
    """Show a visit, which was found in one of the two ways, in both."""
    start = visit.start or datetime.min  # noqa: DTZ901 - only visits with a start are shown
    if times.storage is Storage.INSTANT:
        stored = to_instant(start, times.zone)
    else:
        stored = start.replace(tzinfo=UTC)
    return (
        f"appointment {visit.id}: {stored:%a %d %b %H:%M} (wall)"
        f" or {to_wall(stored, times.zone):%a %d %b %H:%M} (instant)"
    )


def _undecided(run: Run, chosen: ChosenTimes) -> list[str]:
    """Show the next visits both ways, so that a person can say which is right."""
    lines = [
        "STORED_TIMES is not set, and appointments.appointment_date is timestamptz: it may hold"
        " the clinic's wall time or true instants, hours apart. Set STORED_TIMES=wall or"
        " STORED_TIMES=instant, whichever reads these visits right:"
    ]
    if chosen.other is not None:
        window = Window(run.now, run.now + timedelta(days=30))
        with run.database.read() as connection:
            visits = Appointments(chosen.other).page(connection, window, size=3).appointments
        lines += [both_ways(visit, chosen.other) for visit in visits if visit.start is not None]
    return lines
