"""What a run repairs before it claims: claims whose owner died, retries that are outdated."""

import logging
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, update

from smartia_jobs.appointment import Appointment
from smartia_jobs.database import now_plus
from smartia_jobs.outbox.source import Source
from smartia_jobs.report import Reason
from smartia_jobs.run import Run
from smartia_jobs.store.states import State
from smartia_jobs.store.tables import outbox

logger = logging.getLogger(__name__)

#: Rows looked at in one transaction.
_CHUNK = 500

#: Reasons that pass with time: the message may still be useful afterwards.
_PASSING = frozenset({Reason.QUIET_HOURS, Reason.NO_SEND_DAY, Reason.NOT_IN_ONLY_TO})


def recover(run: Run, source: Source) -> int:
    """Repair what earlier runs left, before anything is claimed.

    Claims of dead owners become ``unknown``. A retry whose visit has moved, was cancelled or has
    begun is closed.

    Returns:
        how many retries were still wanted and ran out of time.
    """
    recover_lost(run)
    missed = after = 0
    while True:
        with run.database.write() as connection:
            found = _outdated_retries(connection, run, source, after)
            ends = {State.EXPIRED: found.expired, State.UNDELIVERED: found.undelivered}
            for state, ids in ends.items():
                if ids:
                    outdated = (outbox.c.id.in_(ids), outbox.c.state == State.RETRY)
                    connection.execute(
                        update(outbox)
                        .where(_unlocked(*outdated), *outdated)
                        .values(state=state, run_id=run.id, updated_at=run.now)
                    )
        missed += found.missed
        after = found.next
        if not after:
            return missed


def recover_lost(run: Run) -> None:
    """Make the claims of dead owners ``unknown``, of every kind of message.

    A claim whose lease has ended was in a POST when its process died: it may have reached
    the patient.
    """
    with run.database.write() as connection:
        lost = is_lost(connection)
        count = connection.execute(
            update(outbox)
            .where(_unlocked(lost), lost)
            .values(
                state=State.UNKNOWN,
                attempts=outbox.c.attempts + 1,
                lease_until=None,
                error="the process that was sending it died",
                updated_at=run.now,
            )
        ).rowcount
    if count:
        logger.warning(
            "a run died while it was sending: some messages may have been accepted"
            " (see: smartia-jobs outbox --state unknown)",
            extra={"ctx": {"action": "recovered", "unknown": count}},
        )


def is_lost(connection: Connection) -> ColumnElement[bool]:
    """Return the condition for claims whose owner died: their lease has ended.

    A lease is measured on the database's clock.
    """
    return and_(outbox.c.state == State.CLAIMED, outbox.c.lease_until < now_plus(connection, 0))


def is_unknown(connection: Connection) -> ColumnElement[bool]:
    """Return the condition for messages of which nobody knows whether they were accepted."""
    return or_(outbox.c.state == State.UNKNOWN, is_lost(connection))


def held_unknown(connection: Connection, kind: str, *, wall_now: datetime) -> int:
    """Return how many messages of earlier runs are unknown while their visit is still ahead.

    A claim whose owner died counts as well: only a dry run finds one, as it repairs nothing.

    Args:
        connection: inside a short transaction.
        kind: the message kind.
        wall_now: the clinic's wall time, naive, as outbox rows keep it.
    """
    query = select(func.count()).where(
        is_unknown(connection), outbox.c.kind == kind, outbox.c.start > wall_now
    )
    return connection.execute(query).scalar_one()


def lost_claims(connection: Connection, kind: str) -> set[int]:
    """Return the outbox ids of claims whose owner died, to be read as unknown."""
    query = select(outbox.c.id).where(is_lost(connection), outbox.c.kind == kind)
    return set(connection.execute(query).scalars())


def foresee_missed(run: Run, source: Source) -> int:
    """Return what :func:`recover` would return; nothing is changed."""
    missed = after = 0
    while True:
        with run.database.read() as connection:
            late = _outdated_retries(connection, run, source, after)
        missed += late.missed
        after = late.next
        if not after:
            return missed


@dataclass(frozen=True, slots=True)
class _Outdated:
    """Retries of one chunk that are no longer of use.

    Attributes:
        expired: ids of those that never left, or whose visit has changed.
        undelivered: ids of those that WhatsApp took and did not deliver, and that are too late now.
        missed: how many of the expired ran out of time.
        next: the id after which the next chunk begins; 0 after the last.
    """

    expired: tuple[int, ...]
    undelivered: tuple[int, ...]
    missed: int
    next: int


def _outdated_retries(connection: Connection, run: Run, source: Source, after: int) -> _Outdated:
    query = (
        select(outbox.c.id, outbox.c.appointment_id, outbox.c.start, outbox.c.sent_at)
        .where(outbox.c.state == State.RETRY, outbox.c.kind == source.kind, outbox.c.id > after)
        .order_by(outbox.c.id)
        .limit(_CHUNK)
    )
    rows = connection.execute(query).all()
    visits = source.reread(connection, {row.appointment_id for row in rows})
    expired: list[int] = []
    undelivered: list[int] = []
    missed = 0
    for row in rows:
        reason = _why_outdated(source, visits.get(row.appointment_id), row.start, run.now)
        if reason is Reason.TOO_LATE and row.sent_at is not None:
            undelivered.append(row.id)
        elif reason is not None:
            expired.append(row.id)
            missed += reason is Reason.TOO_LATE
    more = rows[-1].id if len(rows) == _CHUNK else 0
    return _Outdated(tuple(expired), tuple(undelivered), missed, more)


def _unlocked(*wanted: ColumnElement[bool]) -> ColumnElement[bool]:
    """Leave out rows that another process is writing at this moment, instead of waiting for it.

    It knows better what becomes of them, and two processes that wait for nobody cannot deadlock.
    (SQLite has one writer at a time, and leaves the locking out.)
    """
    return outbox.c.id.in_(
        select(outbox.c.id).where(*wanted).with_for_update(skip_locked=True).scalar_subquery()
    )


def _why_outdated(
    source: Source, visit: Appointment | None, start: datetime, now: datetime
) -> Reason | None:
    if visit is None:
        return Reason.NO_LONGER_OPEN
    if visit.start != start:
        return Reason.MOVED
    reason = source.refusal(visit, now)
    return None if reason in _PASSING else reason
