"""Who asked for no more invitations: phones, typed by the clinic or told by WhatsApp itself."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select

from smartia_jobs.database import insert_once
from smartia_jobs.store.tables import opt_outs

#: Phones in one IN list.
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class OptOut:
    """One phone that gets reminders, but no invitations.

    Attributes:
        phone: canonical E.164.
        source: ``person`` (typed by the clinic) or ``whatsapp`` (answer 131050).
        since: aware UTC.
    """

    phone: str
    source: str
    since: datetime


def add_opt_out(connection: Connection, phone: str, *, at: datetime) -> bool:
    """Note a canonical phone that the clinic typed; return False when it was there already."""
    made = connection.execute(
        insert_once(connection.dialect.name, opt_outs, key=["phone"])
        .values(phone=phone, source="person", created_at=at)
        .returning(opt_outs.c.id)
    )
    return made.first() is not None


def remove_opt_out(connection: Connection, phone: str) -> bool:
    """Forget a canonical phone; return False when it was not there."""
    return connection.execute(delete(opt_outs).where(opt_outs.c.phone == phone)).rowcount > 0


def list_opt_outs(connection: Connection) -> list[OptOut]:
    """Return all, the newest first."""
    query = select(opt_outs).order_by(opt_outs.c.created_at.desc(), opt_outs.c.id.desc())
    return [OptOut(row.phone, row.source, row.created_at) for row in connection.execute(query)]


def opted_out(connection: Connection, phones: Collection[str]) -> set[str]:
    """Return those of these canonical phones whose owners want no invitations."""
    found: set[str] = set()
    wanted = sorted(phones)
    for first in range(0, len(wanted), _CHUNK):
        query = select(opt_outs.c.phone).where(opt_outs.c.phone.in_(wanted[first : first + _CHUNK]))
        found.update(connection.execute(query).scalars())
    return found
