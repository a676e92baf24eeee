"""Choices that people made in WhatsApp itself, as they were stored, and what they did."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from smartia_jobs.store.opt_outs import add_from_whatsapp
from smartia_jobs.store.tables import answers, opt_outs

_TYPE = "user_preferences"
_STOP, _RESUME = "stop", "resume"


@dataclass(frozen=True, slots=True)
class Preference:
    """One choice of one phone.

    Attributes:
        id: of the stored answer.
        phone: as WhatsApp wrote it; None: hidden.
        payload: ``stop`` or ``resume``.
        said_at: when it was made, aware UTC.
    """

    id: int
    phone: str | None
    payload: str | None
    said_at: datetime


def undecided(connection: Connection) -> set[int]:
    """Return the ids of choices that no run has looked at, locked for this transaction."""
    query = (
        select(answers.c.id)
        .where(answers.c.type == _TYPE, answers.c.acted_at.is_(None))
        .with_for_update(skip_locked=True)
    )
    return set(connection.scalars(query))


def preferences(connection: Connection) -> list[Preference]:
    """Return all choices, those of earlier runs as well: any may be the newest of a phone."""
    query = select(answers.c.id, answers.c.phone, answers.c.payload, answers.c.said_at)
    found = connection.execute(query.where(answers.c.type == _TYPE))
    return [Preference(*row) for row in found]


def act_on(
    connection: Connection,
    ids: Collection[int],
    *,
    newest: Mapping[str, Preference],
    run_id: str,
    at: datetime,
) -> None:
    """Add and lift opt-outs, and note that these choices were looked at.

    Args:
        connection: inside a writing transaction.
        ids: all that were looked at.
        newest: by canonical phone, those among them that hold.
        run_id: who looked.
        at: now.
    """
    stops = {phone: one.said_at for phone, one in newest.items() if one.payload == _STOP}
    add_from_whatsapp(connection, stops)
    resumes = sorted(phone for phone, one in newest.items() if one.payload == _RESUME)
    if resumes:
        connection.execute(
            delete(opt_outs).where(
                opt_outs.c.phone.in_(resumes),
                opt_outs.c.source == "whatsapp",
                opt_outs.c.scope == "invitations",
            )
        )
    looked_at = update(answers).where(answers.c.id.in_(sorted(ids)))
    connection.execute(looked_at.values(acted_at=at, run_id=run_id))
