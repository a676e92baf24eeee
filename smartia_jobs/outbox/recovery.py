"""What a run mends before it claims: claims whose owner died, retries that lost their use."""

import logging
from collections.abc import Collection
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

#: Reasons that pass by themselves: the message may still be useful afterwards.
_PASSING = frozenset({Reason.QUIET_HOURS, Reason.NO_SEND_DAY, Reason.NOT_IN_ONLY_TO})


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was found: for the report and the log."""

    #: Claims of dead owners, now unknown.
    lost: int
    #: Retries closed because the visit was moved, cancelled or begun.
    expired: int
    #: Those among them that were still wanted and simply ran out of time.
    missed: int


def recover(run: Run, source: Source) -> Recovery:
    """Mend what earlier runs left, before anything is claimed.

    A claim whose lease has ended was in a POST when its process died: it may have reached
    the patient, so it becomes ``unknown``. The lease is measured on the database's clock.
    """
    lost = recover_lost(run)
    expired = missed = 0
    after = 0
    while True:
        with run.database.write() as connection:
            closed, late, after = _close_retries(connection, run, source, after)
        expired += closed
        missed += late
        if not after:
            return Recovery(lost, expired, missed)


def recover_lost(run: Run) -> int:
    """Make the claims of dead owners ``unknown``, of every kind; return how many there were."""
    with run.database.write() as connection:
        overdue = _lost(connection)
        lost = connection.execute(
            update(outbox)
            .where(_free(overdue), *overdue)
            .values(
                state=str(State.UNKNOWN),
                attempts=outbox.c.attempts + 1,
                lease_until=None,
                error="the process that was sending it died",
                updated_at=run.now,
            )
        ).rowcount
    if lost:
        logger.warning(
            "a run died while it was sending: some messages may have been accepted"
            " (see: smartia-jobs outbox --state unknown)",
            extra={"ctx": {"action": "recovered", "unknown": lost}},
        )
    return lost


def held_unknown(connection: Connection, kind: str, *, wall_now: datetime) -> int:
    """Return how many messages of earlier runs are unknown while their visit is still ahead.

    A claim whose owner died counts as well: only a dry run finds one, as it mends nothing.

    Args:
        connection: inside a short transaction.
        kind: the message kind.
        wall_now: the clinic's wall time, naive, as outbox rows keep it.
    """
    unknown = or_(outbox.c.state == str(State.UNKNOWN), and_(*_lost(connection)))
    query = select(func.count()).where(unknown, outbox.c.kind == kind, outbox.c.start > wall_now)
    return connection.execute(query).scalar_one()


def lost_claims(connection: Connection, kind: str) -> set[int]:
    """Return the outbox ids of claims whose owner died, to be read as unknown."""
    query = select(outbox.c.id).where(*_lost(connection), outbox.c.kind == kind)
    return set(connection.execute(query).scalars())


def foresee_missed(run: Run, source: Source) -> int:
    """Return how many retries :func:`recover` would close as missed; nothing is changed."""
    missed = after = 0
    while True:
        with run.database.read() as connection:
            late = _overtaken_retries(connection, run, source, after)
        missed += late.missed
        after = late.next
        if not after:
            return missed


def _lost(connection: Connection) -> tuple[ColumnElement[bool], ...]:
    return (
        outbox.c.state == str(State.CLAIMED),
        outbox.c.lease_until < now_plus(connection, 0),
    )


@dataclass(frozen=True, slots=True)
class _Overtaken:
    """Retries of one chunk that are of no use any more; the next begins after an id, or at 0.

    Attributes:
        expired: ids of those that never left, or whose visit is another's or another time's now.
        undelivered: of those that WhatsApp took, did not deliver, and for which it is too late.
        missed: how many of the expired simply ran out of time.
        next: where the next chunk begins.
    """

    expired: tuple[int, ...]
    undelivered: tuple[int, ...]
    missed: int
    next: int


def _close_retries(
    connection: Connection, run: Run, source: Source, after: int
) -> tuple[int, int, int]:
    found = _overtaken_retries(connection, run, source, after)
    ends = {State.EXPIRED: found.expired, State.UNDELIVERED: found.undelivered}
    for state, ids in ends.items():
        if ids:
            useless = (outbox.c.id.in_(ids), outbox.c.state == str(State.RETRY))
            connection.execute(
                update(outbox)
                .where(_free(useless), *useless)
                .values(state=str(state), run_id=run.id, updated_at=run.now)
            )
    return len(found.expired), found.missed, found.next


def _overtaken_retries(connection: Connection, run: Run, source: Source, after: int) -> _Overtaken:
    query = (
        select(outbox.c.id, outbox.c.appointment_id, outbox.c.start, outbox.c.sent_at)
        .where(
            outbox.c.state == str(State.RETRY), outbox.c.kind == source.kind, outbox.c.id > after
        )
        .order_by(outbox.c.id)
        .limit(_CHUNK)
    )
    rows = connection.execute(query).all()
    visits = source.reread(connection, {row.appointment_id for row in rows})
    expired: list[int] = []
    undelivered: list[int] = []
    missed = 0
    for row in rows:
        reason = _overtaken(source, visits.get(row.appointment_id), row.start, run.now)
        if reason is Reason.TOO_LATE and row.sent_at is not None:
            undelivered.append(row.id)
        elif reason is not None:
            expired.append(row.id)
            missed += reason is Reason.TOO_LATE
    more = rows[-1].id if len(rows) == _CHUNK else 0
    return _Overtaken(tuple(expired), tuple(undelivered), missed, more)


def _free(wanted: Collection[ColumnElement[bool]]) -> ColumnElement[bool]:
    """Leave out rows that another process is writing at this moment, instead of waiting for it.

    It knows better what becomes of them, and two that wait for nobody never wait in a circle.
    (SQLite has one writer at a time, and leaves the locking out.)
    """
    return outbox.c.id.in_(
        select(outbox.c.id).where(*wanted).with_for_update(skip_locked=True).scalar_subquery()
    )


def _overtaken(
    source: Source, visit: Appointment | None, start: datetime, now: datetime
) -> Reason | None:
    if visit is None:
        return Reason.NO_LONGER_OPEN
    if visit.start != start:
        return Reason.MOVED
    reason = source.refusal(visit, now)
    return None if reason in _PASSING else reason
