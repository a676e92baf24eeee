"""Marking no-shows and undoing it: a visit and its mark in one transaction."""

from collections.abc import Sequence

from sqlalchemy import Connection

from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.no_shows import change_status, stored_dates
from smartia_jobs.clinic.vetoes import said_no
from smartia_jobs.run import Run
from smartia_jobs.store.status_changes import WHY_NO_SHOW, StatusChange, note_undone, remember

#: Visits changed in one short transaction.
_BATCH = 200


def mark_visits(run: Run, appointments: Appointments, visits: Sequence[Appointment]) -> int:
    """Set visits to NO_SHOW and remember it; return how many.

    Left alone are visits that somebody has changed since they were read, or is changing right now,
    and those whose patients have said meanwhile that they cannot come. Of any number of runs
    exactly one marks a visit, and none does so twice for the same start.
    """
    marked = 0
    for first in range(0, len(visits), _BATCH):
        with run.database.write() as connection:
            marked += _mark(connection, run, appointments, visits[first : first + _BATCH])
    return marked


def take_back(run: Run, appointments: Appointments, marks: Sequence[StatusChange]) -> int:
    """Give marked visits that are still NO_SHOW their status back; return how many.

    A visit that was moved since is left alone. One that only seems to have moved, because a time
    setting was wrong when it was marked, is not. In a dry run nothing is written.
    """
    restored = 0
    for first in range(0, len(marks), _BATCH):
        batch = marks[first : first + _BATCH]
        with run.database.read() if run.dry_run else run.database.write() as connection:
            standing = _standing(connection, run, appointments, batch)
            restored += len(standing)
            if not run.dry_run:
                _restore(connection, run, standing)
    return restored


def _mark(
    connection: Connection, run: Run, appointments: Appointments, batch: Sequence[Appointment]
) -> int:
    at = run.clock.now()
    current = appointments.by_id(connection, {visit.id for visit in batch}, lock=True)
    unchanged = [visit for visit in batch if current.get(visit.id) == visit]
    answered = said_no(connection, unchanged, run=run)
    unchanged = [visit for visit in unchanged if visit.id not in answered]
    dates = stored_dates(connection, {visit.id for visit in unchanged})
    after = AppointmentStatus.NO_SHOW
    new = remember(connection, unchanged, dates, after=after, why=WHY_NO_SHOW, run_id=run.id, at=at)
    marked = 0
    for before in {visit.status for visit in unchanged if visit.status is not None}:
        ids = [visit.id for visit in unchanged if visit.status is before and visit.id in new]
        marked += len(change_status(connection, ids, before=before, after=after, at=at))
    return marked


def _standing(
    connection: Connection, run: Run, appointments: Appointments, marks: Sequence[StatusChange]
) -> list[StatusChange]:
    ids = {mark.appointment_id for mark in marks}
    current = appointments.by_id(connection, ids, lock=not run.dry_run)
    no_shows = {visit.id for visit in current.values() if visit.status is AppointmentStatus.NO_SHOW}
    dates = stored_dates(connection, no_shows)
    return [mark for mark in marks if dates.get(mark.appointment_id) == mark.stored_date]


def _restore(connection: Connection, run: Run, standing: Sequence[StatusChange]) -> None:
    at = run.clock.now()
    for after in {mark.before for mark in standing}:
        ids = [mark.appointment_id for mark in standing if mark.before is after]
        before = AppointmentStatus.NO_SHOW
        change_status(connection, ids, before=before, after=after, at=at)
    note_undone(connection, standing, at=at)
