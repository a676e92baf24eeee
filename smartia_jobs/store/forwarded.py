"""What was passed on, or may have been, to SmartIA's API: by marks that tell nothing."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, delete, select

from smartia_jobs.database import insert_once
from smartia_jobs.store.tables import forwarded, outbox


def take(connection: Connection, marks: Collection[str], *, at: datetime) -> set[str]:
    """Note that these are being passed on; return those that never were.

    Committed before anything leaves: of any number of services one passes a piece on, and after
    a crash nobody does, as it may have arrived.
    """
    if not marks:
        return set()
    made = connection.execute(
        insert_once(connection.dialect.name, forwarded, key=["mark"]).returning(forwarded.c.mark),
        [{"mark": mark, "forwarded_at": at} for mark in sorted(marks)],
    )
    return set(made.scalars())


def sent_among(connection: Connection, message_ids: Collection[str]) -> frozenset[str]:
    """Return which of these ids WhatsApp gave to messages of ours."""
    if not message_ids:
        return frozenset()
    query = select(outbox.c.message_id).where(outbox.c.message_id.in_(sorted(message_ids)))
    return frozenset(connection.execute(query).scalars())


def give_back(connection: Connection, marks: Collection[str]) -> None:
    """Note that these have surely not left: they are to be passed on when they come again."""
    connection.execute(delete(forwarded).where(forwarded.c.mark.in_(sorted(marks))))


def forget(connection: Connection, *, before: datetime) -> None:
    """Forget what was passed on before a moment; Meta repeats nothing so old."""
    connection.execute(delete(forwarded).where(forwarded.c.forwarded_at < before))
