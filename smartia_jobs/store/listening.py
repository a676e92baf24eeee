"""What comes in, looked at as a whole: who listens, when it came, and what is forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, exists, func, or_, select, update

from smartia_jobs.incoming import Notice, Source
from smartia_jobs.store.states import State
from smartia_jobs.store.tables import answers, installation, notices, outbox, statuses


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When messages were accepted and statuses came, aware UTC.

    Attributes:
        accepted_at: when WhatsApp accepted the newest message; None: it never accepted one.
        status_at: when the newest status came that anything is remembered of; None: none ever did.
        waiting: how many statuses have not been applied.
        waiting_since: when the oldest of those came.
    """

    accepted_at: datetime | None
    status_at: datetime | None
    waiting: int
    waiting_since: datetime | None


def read_arrivals(connection: Connection) -> Arrivals:
    """Return when statuses came. They are kept for days only; the outbox remembers longer."""
    remembered = select(
        func.max(outbox.c.sent_at),
        func.max(outbox.c.delivered_at),
        func.max(outbox.c.read_at),
        func.max(outbox.c.updated_at).filter(outbox.c.state == str(State.UNDELIVERED)),
    )
    accepted_at, *came = connection.execute(remembered).one()
    came.append(connection.execute(select(func.max(statuses.c.received_at))).scalar_one())
    waiting = select(func.count(), func.min(statuses.c.received_at)).where(
        statuses.c.applied_at.is_(None)
    )
    count, since = connection.execute(waiting).one()
    status_at = max((at for at in came if at is not None), default=None)
    return Arrivals(accepted_at, status_at, count, since)


def newest_notices(connection: Connection, *, since: datetime) -> Sequence[Notice]:
    """Return what Meta has reported of templates and account since a moment, the newest first."""
    query = (
        select(notices)
        .where(notices.c.said_at >= since)
        .order_by(notices.c.said_at.desc(), notices.c.id.desc())
    )
    return [
        Notice(row.field, row.event, row.subject, row.said_at, row.detail)
        for row in connection.execute(query)
    ]


def webhook_has_stored(connection: Connection) -> bool:
    """Whether a webhook of ours has stored anything that is still there.

    Only ours keeps what was sent along with a message; SmartIA's does not.
    """
    stored = (
        exists().where(statuses.c.callback.is_not(None)),
        exists().where(answers.c.source == str(Source.WEBHOOK)),
        exists(select(notices.c.id)),
    )
    return bool(connection.execute(select(or_(*stored))).scalar_one())


def forget_statuses(connection: Connection, *, before: datetime) -> int:
    """Delete statuses that came before a moment, applied or not; return how many."""
    return connection.execute(delete(statuses).where(statuses.c.received_at < before)).rowcount


def interactions_seen(connection: Connection) -> int | None:
    """Return up to which of SmartIA's interactions nothing is read again; None: never any."""
    seen: int | None = connection.execute(select(installation.c.interactions_seen)).scalar_one()
    return seen


def see_interactions(connection: Connection, up_to: int) -> None:
    """Note how far SmartIA's interactions were read; never back."""
    seen = installation.c.interactions_seen
    connection.execute(
        update(installation)
        .where(or_(seen.is_(None), seen < up_to))
        .values(interactions_seen=up_to)
    )


@dataclass(frozen=True, slots=True)
class CategoryMove:
    """Meta's word that it charges a template as another category.

    Attributes:
        template: its name at Meta, in whatever language.
        category: the new one, as Meta says it: ``MARKETING``, ...
        at: when Meta said so, aware UTC; one that it announces holds a day later.
    """

    template: str
    category: str
    at: datetime


def category_moves(connection: Connection) -> Sequence[CategoryMove]:
    """Return what Meta has told of templates' categories, the newest first."""
    query = (
        select(notices.c.subject, notices.c.event, notices.c.said_at)
        .where(notices.c.field == "template_category_update")
        .order_by(notices.c.said_at.desc(), notices.c.id.desc())
    )
    return [
        CategoryMove(row.subject.partition(" ")[0], row.event, row.said_at)
        for row in connection.execute(query)
    ]
