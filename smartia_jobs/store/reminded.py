"""Which reminders were sent of visits, and to whom; since when each kind is used. Only read."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from smartia_jobs.database import chunks
from smartia_jobs.kinds import INVITATION
from smartia_jobs.store.states import State
from smartia_jobs.store.tables import outbox

#: The patient has it, or may have it.
TOLD = frozenset({State.SENT, State.DELIVERED, State.READ, State.UNKNOWN})

#: No invitation, and no word back.
_IS_REMINDER = (outbox.c.kind != INVITATION, outbox.c.answer_id.is_(None))


@dataclass(frozen=True, slots=True)
class Reminder:
    """One outbox row of a reminder.

    Attributes:
        id: of the row.
        appointment_id: which visit.
        patient_id: whose it was.
        start: what the patient was, or is to be, told; clinic wall time.
        phone: canonical, or as stored where it cannot be a phone; None: erased since.
        state: the state it is in; a claim whose lease has ended is unknown.
        status: SmartIA's status of the visit when the message was claimed.
        at: when it was accepted, or last changed; aware UTC.
    """

    id: int
    appointment_id: int
    patient_id: int
    start: datetime
    phone: str | None
    state: State
    status: str | None
    at: datetime


def visits_told_ahead(connection: Connection, wall_now: datetime) -> dict[int, datetime]:
    """Return the visits whose patients were told a time that is still ahead, and the latest."""
    query = (
        select(outbox.c.appointment_id, func.max(outbox.c.start).label("latest"))
        .where(*_IS_REMINDER, outbox.c.state.in_(sorted(TOLD)), outbox.c.start > wall_now)
        .group_by(outbox.c.appointment_id)
    )
    return {row.appointment_id: row.latest for row in connection.execute(query)}


def reminders_of(
    connection: Connection, appointment_ids: Collection[int], *, now: datetime
) -> list[Reminder]:
    """Return all reminders of these visits."""
    return list(_read(connection, outbox.c.appointment_id, appointment_ids, now))


def reminders_to(
    connection: Connection, phones: Collection[str], *, since: datetime, now: datetime
) -> list[Reminder]:
    """Return all reminders to these canonical phones of times from ``since`` on, wall time."""
    return list(_read(connection, outbox.c.phone, phones, now, outbox.c.start >= since))


def first_used_at(connection: Connection, kind: str) -> datetime | None:
    """Return when the first row of this kind was made; None when the outbox holds none."""
    query = select(outbox.c.created_at).where(outbox.c.kind == kind).order_by(outbox.c.id).limit(1)
    return connection.execute(query).scalar()


def kinds_used_since(connection: Connection) -> dict[str, datetime]:
    """Return since when each kind of message is sent from this database."""
    query = select(outbox.c.kind, func.min(outbox.c.created_at).label("since"))
    return {row.kind: row.since for row in connection.execute(query.group_by(outbox.c.kind))}


def _read(
    connection: Connection,
    by: ColumnElement[Any],
    wanted: Collection[Any],
    now: datetime,
    *more: ColumnElement[bool],
) -> Iterator[Reminder]:
    for some in chunks(wanted):
        for row in connection.execute(select(outbox).where(by.in_(some), *_IS_REMINDER, *more)):
            # Leases are on the database's clock; a minute of difference only delays this.
            lost = row.state == State.CLAIMED and row.lease_until and row.lease_until < now
            yield Reminder(
                id=row.id,
                appointment_id=row.appointment_id,
                patient_id=row.patient_id,
                start=row.start,
                phone=row.phone,
                state=State.UNKNOWN if lost else State(row.state),
                status=row.appointment_status,
                at=row.sent_at or row.updated_at,
            )
