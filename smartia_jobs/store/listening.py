"""Who listens: whether a webhook does, how far SmartIA's dialogues were read, what is forgotten."""

from datetime import datetime

from sqlalchemy import Connection, delete, exists, or_, select, update

from smartia_jobs.incoming import Source
from smartia_jobs.store.tables import answers, installation, notices, statuses


def webhook_has_stored(connection: Connection) -> bool:
    """Whether a webhook of ours has stored anything that is still there.

    Only it hears what was sent along with a message; SmartIA keeps none of it.
    """
    heard = (
        exists().where(statuses.c.callback.is_not(None)),
        exists().where(answers.c.source == str(Source.WEBHOOK)),
        exists(select(notices.c.id)),
    )
    return bool(connection.execute(select(or_(*heard))).scalar_one())


def forget_statuses(connection: Connection, *, before: datetime) -> int:
    """Delete statuses that came before a moment, taken in or not; return how many."""
    return connection.execute(delete(statuses).where(statuses.c.received_at < before)).rowcount


def interactions_seen(connection: Connection) -> int | None:
    """Return up to which of SmartIA's interactions nothing is read again; None: never any."""
    seen: int | None = connection.execute(select(installation.c.interactions_seen)).scalar_one()
    return seen


def see_interactions(connection: Connection, up_to: int) -> None:
    """Note how far SmartIA's interactions were read; never less far than before."""
    seen = installation.c.interactions_seen
    connection.execute(
        update(installation)
        .where(or_(seen.is_(None), seen < up_to))
        .values(interactions_seen=up_to)
    )
