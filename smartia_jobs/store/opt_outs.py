"""Who wants no invitations, or no messages at all: as typed, told by WhatsApp, or written."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, delete, select, update

from smartia_jobs.database import any_of, chunks, insert_once
from smartia_jobs.message import Scope
from smartia_jobs.store.tables import opt_outs


@dataclass(frozen=True, slots=True)
class OptOut:
    """One phone that gets no invitations, or no message at all.

    Attributes:
        phone: canonical E.164.
        source: ``person`` (typed by the clinic), ``whatsapp`` (answer 131050, or the person's
            choice in WhatsApp itself) or ``answer`` (the person wrote it).
        scope: what it no longer gets.
        since: aware UTC.
    """

    phone: str
    source: str
    scope: Scope
    since: datetime


def add_opt_out(
    connection: Connection,
    phone: str,
    *,
    scope: Scope = Scope.INVITATIONS,
    source: str = "person",
    at: datetime,
) -> bool:
    """Add an opt-out of a canonical phone; return False when it had it already.

    A phone has one row: ``ALL`` takes the place of ``INVITATIONS``, with whoever asked for it and
    when, and never the other way round.
    """
    made = connection.execute(
        insert_once(connection.dialect.name, opt_outs, key=["phone"])
        .values(phone=phone, source=source, scope=str(scope), created_at=at)
        .returning(opt_outs.c.id)
    )
    if made.first() is not None:
        return True
    if scope is not Scope.ALL:
        return False
    narrower = (opt_outs.c.phone == phone, opt_outs.c.scope != str(Scope.ALL))
    wider = {"scope": str(Scope.ALL), "source": source, "created_at": at}
    return connection.execute(update(opt_outs).where(*narrower).values(wider)).rowcount > 0


def add_from_whatsapp(connection: Connection, asked_at: Mapping[str, datetime]) -> None:
    """Note who told WhatsApp that they want no marketing from this clinic.

    Args:
        connection: inside a writing transaction.
        asked_at: when, by canonical phone; a phone that has an opt-out already keeps that.
    """
    if asked_at:
        connection.execute(
            insert_once(connection.dialect.name, opt_outs, key=["phone"]),
            [
                {"phone": phone, "source": "whatsapp", "created_at": asked_at[phone]}
                for phone in sorted(asked_at)
            ],
        )


def remove_opt_out(connection: Connection, phone: str) -> bool:
    """Delete the opt-out of a canonical phone; return False when it had none."""
    return connection.execute(delete(opt_outs).where(opt_outs.c.phone == phone)).rowcount > 0


def list_opt_outs(connection: Connection) -> list[OptOut]:
    """Return all, the newest first."""
    query = select(opt_outs).order_by(opt_outs.c.created_at.desc(), opt_outs.c.id.desc())
    return [
        OptOut(row.phone, row.source, Scope(row.scope), row.created_at)
        for row in connection.execute(query)
    ]


def opted_out(connection: Connection, phones: Collection[str]) -> set[str]:
    """Return those of these canonical phones whose owners want no invitations."""
    return _among(connection, phones, [Scope.INVITATIONS, Scope.ALL])


def wants_no_message(connection: Connection, phones: Collection[str]) -> set[str]:
    """Return those of these canonical phones whose owners want no message at all."""
    return _among(connection, phones, [Scope.ALL])


def _among(connection: Connection, phones: Collection[str], scopes: Collection[Scope]) -> set[str]:
    found: set[str] = set()
    for some in chunks(phones):
        wanted = {"phones": some, "scopes": scopes}
        found.update(connection.execute(_of_phones(), wanted).scalars())
    return found


@cache
def _of_phones() -> Select[Any]:
    return select(opt_outs.c.phone).where(
        any_of(opt_outs.c.phone, "phones"), any_of(opt_outs.c.scope, "scopes")
    )
