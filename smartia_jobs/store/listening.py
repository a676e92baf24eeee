"""What was heard, from whichever side: stored once, forgotten in time, and how far it was read."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, exists, or_, select, update

from smartia_jobs.database import insert_once
from smartia_jobs.incoming import PatientAnswer, Source, Status
from smartia_jobs.store.tables import answers, installation, notices, statuses


def store_statuses(connection: Connection, heard: Sequence[Status], *, at: datetime) -> None:
    """Store statuses; one that is there already stays as it is."""
    if heard:
        connection.execute(
            insert_once(connection.dialect.name, statuses, key=["wamid", "status"]),
            [
                {
                    "wamid": one.wamid,
                    "status": str(one.delivery),
                    "said_at": one.said_at,
                    "received_at": at,
                    "callback": one.callback,
                    "code": one.code,
                }
                for one in heard
            ],
        )


def store_answers(connection: Connection, heard: Sequence[PatientAnswer], *, at: datetime) -> None:
    """Store what patients wrote; what is there already stays as it is."""
    if heard:
        connection.execute(
            insert_once(connection.dialect.name, answers, key=["message_id"]),
            [
                {
                    "message_id": one.message_id,
                    "source": str(one.source),
                    "phone": one.phone,
                    "type": one.type,
                    "text": one.text,
                    "payload": one.payload,
                    "context_id": one.context_id,
                    "said_at": one.said_at,
                    "received_at": at,
                }
                for one in heard
            ],
        )


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
