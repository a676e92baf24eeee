"""What this program did to visits' statuses, and why: no-shows, and what patients answered."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Select, select, update

from smartia_jobs.appointment import Appointment, AppointmentStatus, Key
from smartia_jobs.database import chunks, insert_once
from smartia_jobs.store.tables import status_changes

#: In place of an answer: nobody said anything, the visit was a no-show.
NO_ANSWER = 0
#: Why, of a no-show.
WHY_NO_SHOW = "no_show"


@dataclass(frozen=True, slots=True)
class StatusChange:
    """What became of one visit, by a run or an answer.

    Attributes:
        id: of the row.
        appointment_id: which visit.
        patient_id: whose it was then.
        start: when it was to begin, clinic wall time as it was read then.
        stored_date: the same as SmartIA stored it, whatever it was taken to mean.
        before: its status before.
        after: and after; the same when an answer is about a visit that stays as it is.
        answer_id: the answer; ``NO_ANSWER`` for a no-show.
        changed_at: when, aware UTC.
        undone: whether it was taken back.
    """

    id: int
    appointment_id: int
    patient_id: int
    start: datetime
    stored_date: str
    before: AppointmentStatus
    after: AppointmentStatus
    answer_id: int
    changed_at: datetime
    undone: bool


def marked(connection: Connection, ids: Collection[int]) -> set[Key]:
    """Return the (appointment, start) among these visits that were ever marked, undone or not."""
    found: set[Key] = set()
    for some in chunks(ids):
        query = select(status_changes.c.appointment_id, status_changes.c.start).where(
            status_changes.c.appointment_id.in_(some),
            status_changes.c.answer_id == NO_ANSWER,
        )
        found.update((row.appointment_id, row.start) for row in connection.execute(query))
    return found


def remember(
    connection: Connection,
    visits: Collection[Appointment],
    stored_dates: Mapping[int, str],
    *,
    after: AppointmentStatus | None,
    why: str,
    answer_id: int = NO_ANSWER,
    run_id: str,
    at: datetime,
) -> set[int]:
    """Note what is being done to these visits; return the ids of those that are new to it.

    Of any number of runs exactly one obtains a visit, and none does a second time for the same
    start and answer: a visit that somebody has reopened stays open.

    Args:
        connection: the transaction that changes them.
        visits: which, each with a start and a status.
        stored_dates: the date of each as SmartIA stored it, by id.
        after: their new status; None: they keep theirs.
        why: in a word.
        answer_id: the answer that is acted on.
        run_id: who does it.
        at: when.
    """
    if not visits:
        return set()
    made = connection.execute(
        insert_once(
            connection.dialect.name,
            status_changes,
            key=["appointment_id", "start", "answer_id"],
        ).returning(status_changes.c.appointment_id),
        [
            {
                "appointment_id": visit.id,
                "patient_id": visit.patient_id,
                "start": visit.start,
                "stored_date": stored_dates[visit.id],
                "before": str(visit.status),
                "after": str(after or visit.status),
                "why": why,
                "answer_id": answer_id,
                "run_id": run_id,
                "changed_at": at,
            }
            for visit in sorted(visits, key=lambda one: one.id)
        ],
    )
    return set(made.scalars())


def marks_of(connection: Connection, run_id: str) -> list[StatusChange]:
    """Return what one run has marked as no-shows, in that order; empty when it marked nothing."""
    return _read(
        connection,
        select(status_changes).where(
            status_changes.c.run_id == run_id, status_changes.c.answer_id == NO_ANSWER
        ),
    )


def changes_of(connection: Connection, answer_ids: Collection[int]) -> list[StatusChange]:
    """Return what became of visits by these answers."""
    return [
        change
        for some in chunks({*answer_ids} - {NO_ANSWER})
        for change in _read(
            connection, select(status_changes).where(status_changes.c.answer_id.in_(some))
        )
    ]


def changes_by_answers(
    connection: Connection, appointment_ids: Collection[int]
) -> dict[int, list[StatusChange]]:
    """Return what answers have done to these visits, by appointment, the oldest first.

    Where an answer only held a visit back, its status is the same before and after.
    """
    found: dict[int, list[StatusChange]] = {}
    for some in chunks(appointment_ids):
        query = select(status_changes).where(
            status_changes.c.appointment_id.in_(some), status_changes.c.answer_id != NO_ANSWER
        )
        for change in _read(connection, query):
            found.setdefault(change.appointment_id, []).append(change)
    return found


def note_undone(connection: Connection, undone: Collection[StatusChange], *, at: datetime) -> None:
    """Note that these changes were taken back."""
    if undone:
        connection.execute(
            update(status_changes)
            .where(status_changes.c.id.in_(sorted(change.id for change in undone)))
            .values(undone_at=at)
        )


def _read(connection: Connection, query: Select[tuple[object, ...]]) -> list[StatusChange]:
    return [
        StatusChange(
            id=row.id,
            appointment_id=row.appointment_id,
            patient_id=row.patient_id,
            start=row.start,
            stored_date=row.stored_date,
            before=AppointmentStatus(row.before),
            after=AppointmentStatus(row.after),
            answer_id=row.answer_id,
            changed_at=row.changed_at,
            undone=row.undone_at is not None,
        )
        for row in connection.execute(query.order_by(status_changes.c.id))
    ]
