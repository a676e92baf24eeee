"""The marks: which visits this program has set to NO_SHOW, and what they were before."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from smartia_jobs.appointment import Appointment, AppointmentStatus, Key
from smartia_jobs.database import insert_once
from smartia_jobs.store.tables import marks

#: Ids in one IN list.
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Mark:
    """One visit that a run has set to NO_SHOW.

    Attributes:
        id: of the mark.
        appointment_id: which visit.
        start: when it was to begin, clinic wall time as it was read then.
        stored_date: the same as SmartIA stored it, whatever it was taken to mean.
        status_before: what it goes back to.
        undone: whether it was taken back.
    """

    id: int
    appointment_id: int
    start: datetime
    stored_date: str
    status_before: AppointmentStatus
    undone: bool


def marked(connection: Connection, ids: Collection[int]) -> set[Key]:
    """Return the (appointment, start) among these visits that were ever marked, undone or not."""
    found: set[Key] = set()
    wanted = sorted(ids)
    for first in range(0, len(wanted), _CHUNK):
        query = select(marks.c.appointment_id, marks.c.start).where(
            marks.c.appointment_id.in_(wanted[first : first + _CHUNK])
        )
        found.update((row.appointment_id, row.start) for row in connection.execute(query))
    return found


def remember(
    connection: Connection,
    visits: Collection[Appointment],
    stored_dates: Mapping[int, str],
    *,
    run_id: str,
    at: datetime,
) -> set[int]:
    """Note that these visits are being marked; return the ids of those that never were before.

    Of any number of runs exactly one obtains a visit, and none does once it has been marked
    for this start: whoever reopened it is not fought.

    Args:
        connection: the transaction that marks them.
        visits: which.
        stored_dates: the date of each as SmartIA stored it, by id.
        run_id: who marks them.
        at: when.
    """
    if not visits:
        return set()
    made = connection.execute(
        insert_once(connection.dialect.name, marks, key=["appointment_id", "start"]).returning(
            marks.c.appointment_id
        ),
        [
            {
                "appointment_id": visit.id,
                "start": visit.start,
                "stored_date": stored_dates[visit.id],
                "status_before": str(visit.status),
                "run_id": run_id,
                "marked_at": at,
            }
            for visit in sorted(visits, key=lambda one: one.id)
        ],
    )
    return set(made.scalars())


def marks_of(connection: Connection, run_id: str) -> list[Mark]:
    """Return what one run has marked, in that order; empty when it marked nothing."""
    query = select(marks).where(marks.c.run_id == run_id).order_by(marks.c.id)
    return [
        Mark(
            id=row.id,
            appointment_id=row.appointment_id,
            start=row.start,
            stored_date=row.stored_date,
            status_before=AppointmentStatus(row.status_before),
            undone=row.undone_at is not None,
        )
        for row in connection.execute(query)
    ]


def note_undone(connection: Connection, undone: Collection[Mark], *, at: datetime) -> None:
    """Note that these marks were taken back."""
    if undone:
        connection.execute(
            update(marks)
            .where(marks.c.id.in_(sorted(mark.id for mark in undone)))
            .values(undone_at=at)
        )
