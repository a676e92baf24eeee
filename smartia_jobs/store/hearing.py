"""What was heard of WhatsApp so far, for a person: when statuses came, and Meta's notices."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from smartia_jobs.incoming import Notice
from smartia_jobs.store.states import State
from smartia_jobs.store.tables import notices, outbox, statuses


@dataclass(frozen=True, slots=True)
class Hearing:
    """When something was last said and heard, aware UTC.

    Attributes:
        accepted_at: when WhatsApp accepted the newest message; None: it never accepted one.
        heard_at: when the newest status came that anything is remembered of; None: none ever did.
        waiting: how many statuses have not been taken in.
        waiting_since: when the oldest of those came.
    """

    accepted_at: datetime | None
    heard_at: datetime | None
    waiting: int
    waiting_since: datetime | None


def hearing(connection: Connection) -> Hearing:
    """Return when statuses came. They themselves are kept for days; the outbox remembers longer."""
    arrived = select(
        func.max(outbox.c.sent_at),
        func.max(outbox.c.delivered_at),
        func.max(outbox.c.read_at),
        func.max(outbox.c.updated_at).filter(outbox.c.state == str(State.UNDELIVERED)),
    )
    accepted_at, *heard = connection.execute(arrived).one()
    heard.append(connection.execute(select(func.max(statuses.c.received_at))).scalar_one())
    waiting = select(func.count(), func.min(statuses.c.received_at)).where(
        statuses.c.applied_at.is_(None)
    )
    count, since = connection.execute(waiting).one()
    heard_at = max((at for at in heard if at is not None), default=None)
    return Hearing(accepted_at, heard_at, count, since)


def newest_notices(connection: Connection, *, since: datetime) -> Sequence[Notice]:
    """Return what Meta has told of templates and account since a moment, the newest first."""
    query = (
        select(notices)
        .where(notices.c.said_at >= since)
        .order_by(notices.c.said_at.desc(), notices.c.id.desc())
    )
    return [
        Notice(row.field, row.event, row.subject, row.said_at, row.detail)
        for row in connection.execute(query)
    ]
