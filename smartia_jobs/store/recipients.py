"""Since when anybody is written to, and who was lately, whichever visit it was about."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, func, or_, select

from smartia_jobs.appointment import Key
from smartia_jobs.store.states import ACCEPTED, State
from smartia_jobs.store.tables import outbox


def told_since(
    connection: Connection, kind: str, phones: Collection[str], since_at: datetime
) -> Mapping[str, set[Key]]:
    """Return which visits people were, or may have been, told of since a moment, by phone.

    A message counts from when it was accepted. Of one that may have been accepted nobody knows
    when; its row was last changed when the request ended, or later, so that counts. (``created_at``
    is no answer: a row may wait for days before it is sent. ``claimed_at`` is the database's
    time, not the run's.) A message that is being sent always counts.

    Args:
        connection: inside a short transaction.
        kind: the message kind.
        phones: canonical.
        since_at: a message at this very moment is too old.
    """
    last_at = func.coalesce(outbox.c.sent_at, outbox.c.updated_at)
    lately = outbox.c.state.in_([*ACCEPTED, State.UNKNOWN]) & (last_at > since_at)
    query = select(outbox.c.phone, outbox.c.appointment_id, outbox.c.start).where(
        outbox.c.phone.in_(sorted(phones)),
        outbox.c.kind == kind,
        or_(outbox.c.state == State.CLAIMED, lately),
    )
    told: dict[str, set[Key]] = {}
    for row in connection.execute(query):
        told.setdefault(row.phone, set()).add((row.appointment_id, row.start))
    return told


def first_used_at(connection: Connection, kind: str) -> datetime | None:
    """Return when the first row of this kind was made; None when the outbox holds none."""
    query = select(outbox.c.created_at).where(outbox.c.kind == kind).order_by(outbox.c.id).limit(1)
    return connection.execute(query).scalar()
