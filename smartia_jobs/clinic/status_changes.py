"""Changing the status of a visit because of an answer, and undoing it.

The reception always wins: a visit is changed only if it is still as it was read, and an answer's
veto ends when anybody else changes the visit.
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
    """Change the status of a visit, and note it; return False when it is not as it was read.

    Args:
        connection: a writing transaction.
        appointments: SmartIA's.
        visit: as it was read, with a start and a status.
        after: the new status.
        why: in a word.
        answer_id: the answer behind it; of two processes one acts on it.
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
    """Note that an answer is about a visit, which stays as it is."""
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
    """Undo what an answer did; return for each visit whether it is as before.

    A visit gets its old status back only if its status, patient, time and ``updated_at`` are what
    the answer left: if anybody has changed it since, it stays as it is.
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
    """Return the status that answers gave or left their visits, by answer and appointment."""
    found = changes_of(connection, answer_ids)
    return {(one.answer_id, one.appointment_id): one.after for one in found if not one.undone}


def ended(connection: Connection, answer_ids: Collection[int]) -> set[int]:
    """Return the answers none of whose visits is as the answer left it.

    Somebody has moved the visit, given it to another patient, changed its status or deleted it, so
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
