"""What was, or may have been, forwarded to SmartIA's API: by digests that tell nothing."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, delete, select

from smartia_jobs.database import insert_once
from smartia_jobs.store.tables import forwarded, outbox


def take(connection: Connection, digests: Collection[str], *, at: datetime) -> set[str]:
    """Note that these are being forwarded; return those that never were.

    Committed before anything is sent: of any number of services one forwards a piece, and after
    a crash nobody does, as it may have arrived.
    """
    if not digests:
        return set()
    made = connection.execute(
        insert_once(connection.dialect.name, forwarded, key=["mark"]).returning(forwarded.c.mark),
        [{"mark": digest, "forwarded_at": at} for digest in sorted(digests)],
    )
    return set(made.scalars())


def sent_among(connection: Connection, message_ids: Collection[str]) -> frozenset[str]:
    """Return which of these ids WhatsApp gave to messages of ours."""
    if not message_ids:
        return frozenset()
    query = select(outbox.c.message_id).where(outbox.c.message_id.in_(sorted(message_ids)))
    return frozenset(connection.execute(query).scalars())


def give_back(connection: Connection, digests: Collection[str]) -> None:
    """Note that these were surely not sent: they are forwarded when they come again."""
    connection.execute(delete(forwarded).where(forwarded.c.mark.in_(sorted(digests))))


def forget(connection: Connection, *, before: datetime) -> None:
    """Delete what was forwarded before a moment; Meta repeats nothing this old."""
    connection.execute(delete(forwarded).where(forwarded.c.forwarded_at < before))
