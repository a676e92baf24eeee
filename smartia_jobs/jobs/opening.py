"""What every job makes sure of before it looks at an appointment."""

import logging
from datetime import UTC, timedelta

from smartia_jobs.clinic.appointments import Appointments, Window
from smartia_jobs.clinic.index import IndexState, ensure_index
from smartia_jobs.clinic.schema import DateStorage, date_storage, problems
from smartia_jobs.clinic.times import Storage, StoredTimes, to_wall
from smartia_jobs.errors import ConfigurationError
from smartia_jobs.outbox.schema import ensure
from smartia_jobs.run import Run

logger = logging.getLogger(__name__)


def open_clinic(run: Run) -> Appointments:
    """Return the questions to ask of a database that was found to be SmartIA's.

    A real run also makes or upgrades our own tables, and SmartIA's one missing index.

    Raises:
        ConfigurationError: it is not, or how its times are stored was not said.
    """
    with run.database.read() as connection:
        missing = problems(connection)
        if missing:
            raise ConfigurationError(missing)
        stored = date_storage(connection)
    zone = run.settings.clinic_timezone
    times = StoredTimes(_storage(run, stored), zone)
    if not run.dry_run:
        ensure(run.database, auto_migrate=run.settings.auto_migrate)
        if ensure_index(run.database) is not IndexState.PRESENT:
            logger.warning(
                "appointments has no index on (appointment_date, status), so each run reads the"
                " whole table; smartia-jobs db upgrade builds it"
            )
    return Appointments(times)


def _storage(run: Run, stored: DateStorage) -> Storage:
    if stored is DateStorage.TEXT:
        return Storage.TEXT
    if stored is DateStorage.TIMESTAMP:
        return Storage.TIMESTAMP
    if run.settings.stored_times is None:
        raise ConfigurationError(_undecided(run))
    return Storage.INSTANT if run.settings.stored_times == "instant" else Storage.WALL_AS_UTC


def _undecided(run: Run) -> list[str]:
    """Show the next visits read both ways, for a person to tell which is right."""
    zone = run.settings.clinic_timezone
    as_wall = Appointments(StoredTimes(Storage.WALL_AS_UTC, zone))
    window = Window(run.now, run.now + timedelta(days=30))
    with run.database.read() as connection:
        visits = as_wall.page(connection, window, size=3).appointments
    lines = [
        "STORED_TIMES is not set, and appointments.appointment_date is timestamptz: it may hold"
        " the clinic's wall time or true instants, hours apart. Set STORED_TIMES=wall or"
        " STORED_TIMES=instant, whichever reads these visits right:"
    ]
    for visit in visits:
        if visit.start is not None:
            instant = to_wall(visit.start.replace(tzinfo=UTC), zone)
            lines.append(
                f"appointment {visit.id}: {visit.start:%a %d %b %H:%M} (wall)"
                f" or {instant:%a %d %b %H:%M} (instant)"
            )
    return lines
