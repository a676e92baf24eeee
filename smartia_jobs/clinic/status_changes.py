"""Changing the status of a visit, as an answer asks for it, and taking it back.

Whatever the reception does wins: a visit changes only while it is what was read, and what an
answer holds back ends when anybody else touches the visit.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, update

from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.interactions import stored_utc
from smartia_jobs.clinic.no_shows import change_status, stored_dates
from smartia_jobs.clinic.tables import appointments as table
from smartia_jobs.store.status_changes import StatusChange, changes_of, note_undone, remember


def change(
    connection: Connection,
    appointments: Appointments,
    visit: Appointment,
    after: AppointmentStatus,
    *,
    why: str,
    answer_id: int,
    run_id: str,
    at: datetime,
) -> bool:
    """Give a visit another status, and remember it; return False when it is not what was read.

    Args:
        connection: a writing transaction.
        appointments: the questions asked of the clinic's database.
        visit: as it was read, with a start and a status.
        after: the new status.
        why: in a word.
        answer_id: the answer that asks for it; of two processes one acts on it.
        run_id: who does it.
        at: now.
    """
    current = appointments.by_id(connection, [visit.id], lock=True).get(visit.id)
    if current != visit or visit.status is None:
        return False
    dates = stored_dates(connection, [visit.id])
    if not remember(
        connection, [visit], dates, after=after, why=why, answer_id=answer_id, run_id=run_id, at=at
    ):
        return False
    return bool(change_status(connection, [visit.id], before=visit.status, after=after, at=at))


def note(
    connection: Connection,
    visit: Appointment,
    *,
    why: str,
    answer_id: int,
    run_id: str,
    at: datetime,
) -> None:
    """Remember that an answer is about a visit, which stays as it is."""
    dates = stored_dates(connection, [visit.id])
    if visit.id in dates:
        remember(
            connection,
            [visit],
            dates,
            after=None,
            why=why,
            answer_id=answer_id,
            run_id=run_id,
            at=at,
        )


def undo(connection: Connection, answer_id: int, *, at: datetime) -> dict[int, bool]:
    """Take back what an answer has done; tell for each visit whether it is now as before.

    A visit gets its status back where status, patient, time and moment of the change are still
    what was written: whoever has touched it since wins.
    """
    changes = [one for one in changes_of(connection, [answer_id]) if not one.undone]
    dates = stored_dates(connection, [one.appointment_id for one in changes])
    restored: dict[int, bool] = {}
    for one in changes:
        moved = dates.get(one.appointment_id) != one.stored_date
        kept = one.before is one.after
        restored[one.appointment_id] = not moved and (kept or _restore(connection, one, at))
    note_undone(connection, changes, at=at)
    return restored


def statuses_left(
    connection: Connection, answer_ids: Collection[int]
) -> dict[tuple[int, int], AppointmentStatus]:
    """Return the status in which answers left their visits, by answer and appointment."""
    found = changes_of(connection, answer_ids)
    return {(one.answer_id, one.appointment_id): one.after for one in found if not one.undone}


def ended(connection: Connection, answer_ids: Collection[int]) -> set[int]:
    """Return those of these answers of whose visits none is as the answer left it.

    Somebody has moved it, given it to another patient, set another status, or deleted it: then
    there is nothing left to do about the answer.
    """
    changes = changes_of(connection, answer_ids)
    dates = stored_dates(connection, [one.appointment_id for one in changes])
    now = _now(connection, {one.appointment_id for one in changes})
    stand = {
        one.answer_id
        for one in changes
        if dates.get(one.appointment_id) == one.stored_date
        and now.get(one.appointment_id) == (one.patient_id, one.after)
    }
    return {one.answer_id for one in changes} - stand


def _now(connection: Connection, ids: Collection[int]) -> dict[int, tuple[int, str]]:
    query = table.select().with_only_columns(table.c.id, table.c.patient_id, table.c.status)
    rows = connection.execute(query.where(table.c.id.in_(sorted(ids))))
    return {row.id: (row.patient_id, row.status) for row in rows}


def _restore(connection: Connection, change: StatusChange, at: datetime) -> bool:
    ours = (
        table.c.id == change.appointment_id,
        table.c.patient_id == change.patient_id,
        table.c.status == change.after,
        table.c.updated_at == stored_utc(connection, change.changed_at),
    )
    values = {"status": change.before, "updated_at": stored_utc(connection, at)}
    return connection.execute(update(table).where(*ours).values(values)).rowcount > 0
