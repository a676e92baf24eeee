"""What patients answered that is for a person and not settled, with the visits it is about."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select

from smartia_jobs.database import chunks
from smartia_jobs.incoming import SAYS_NO, Meaning
from smartia_jobs.store.effects import FOR_A_PERSON, Effect
from smartia_jobs.store.tables import answers, outbox
from smartia_jobs.store.told import Telling, told_by_each

#: A message tells of a visit at most some weeks ahead: nobody waits for older answers.
_LOOKED_AT_FOR = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Unsettled:
    """One answer that somebody must look at.

    Attributes:
        id: what ``replies settle`` is given.
        phone: who wrote, as it came; None: hidden, or erased since.
        type: as Meta says it: ``text``, ``button``, ``audio``, ...
        text: what was written; None: nothing, or kept no longer.
        meaning: what it was understood as.
        effect: what was done: ``listed``, ``cancelled`` or ``undone``.
        said_at: when it was given, aware UTC.
        received_at: when it came here.
        told: the visits it is about, the leader's first; empty where nobody can tell.
    """

    id: int
    phone: str | None
    type: str
    text: str | None
    meaning: str | None
    effect: str
    said_at: datetime
    received_at: datetime
    told: tuple[Telling, ...]


def unsettled_answers(connection: Connection, *, now: datetime) -> list[Unsettled]:
    """Return what somebody has something to do about, the newest first."""
    query = select(answers).where(
        answers.c.effect.in_(sorted(FOR_A_PERSON)),
        answers.c.settled_at.is_(None),
        or_(answers.c.received_at > now - _LOOKED_AT_FOR, answers.c.meaning == Meaning.NOT_ME),
    )
    rows = connection.execute(query.order_by(answers.c.said_at.desc(), answers.c.id.desc())).all()
    told = told_by_each(connection, {row.outbox_id for row in rows if row.outbox_id is not None})
    return [
        Unsettled(
            id=row.id,
            phone=row.phone,
            type=row.type,
            text=row.text,
            meaning=row.meaning,
            effect=row.effect,
            said_at=row.said_at,
            received_at=row.received_at,
            told=tuple(told.get(row.outbox_id, ())),
        )
        for row in rows
    ]


def visits_declined(
    connection: Connection, appointment_ids: Collection[int]
) -> set[tuple[int, datetime]]:
    """Return which of these visits their patients declined at the told time, settled or not.

    By appointment and clinic wall time: who asked to cancel or to move knows of it.
    """
    found: set[tuple[int, datetime]] = set()
    for some in chunks(appointment_ids):
        query = (
            select(outbox.c.appointment_id, outbox.c.start)
            .join(answers, or_(answers.c.outbox_id == outbox.c.id,
                               answers.c.outbox_id == outbox.c.leader_id))
            .where(
                outbox.c.appointment_id.in_(some),
                answers.c.meaning.in_(SAYS_NO),
                answers.c.effect != Effect.UNDONE,
            )
        )  # fmt: skip
        found.update((row.appointment_id, row.start) for row in connection.execute(query))
    return found
