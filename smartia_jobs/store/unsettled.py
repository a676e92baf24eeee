"""What patients answered that is for a person and not settled, with the visits it is about."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select

from smartia_jobs.database import chunks
from smartia_jobs.incoming import SAYS_NO, Meaning
from smartia_jobs.store.answers import StoredAnswer, values_of
from smartia_jobs.store.effects import FOR_A_PERSON, Effect
from smartia_jobs.store.tables import answers, outbox
from smartia_jobs.store.told import Telling, told_by_each

#: A message tells of a visit at most some weeks ahead: nobody waits for older answers.
_LOOKED_AT_FOR = timedelta(days=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled(StoredAnswer):
    """One answer that somebody must look at.

    Attributes:
        told: the visits it is about, the leader's first; empty where nobody can tell.
    """

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
    return [Unsettled(**values_of(row), told=tuple(told.get(row.outbox_id, ()))) for row in rows]


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
