"""Writing what was sent into SmartIA's ``interactions``, where the clinic reads its dialogues."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    String,
    bindparam,
    cast,
    func,
    insert,
    literal_column,
    select,
)
from sqlalchemy.types import TypeEngine

from smartia_jobs import batch
from smartia_jobs.batch import Batch
from smartia_jobs.clinic.tables import conversations, interactions
from smartia_jobs.database import UtcDateTime
from smartia_jobs.message import Conversations, SentMessage

_LAST = select(func.max(conversations.c.id))

#: Ids need not appear in their order: PostgreSQL hands them out before they are committed, and
#: on SQLite that of a row which was deleted may come again. So many are looked through once more.
_MARGIN = 100


def newest_conversations(connection: Connection, patient_ids: Collection[int]) -> Conversations:
    """Return where messages to these patients belong.

    SmartIA has no index for it, so the whole table is read: once for a page of visits.
    """
    if not patient_ids:
        return Conversations()
    last = connection.scalar(_LAST) or 0
    none: dict[int, int | None] = dict.fromkeys(patient_ids)
    return Conversations(none | _newest(connection, patient_ids, after=0), last)


def _newest(connection: Connection, patient_ids: Collection[int], *, after: int) -> dict[int, int]:
    dialect = connection.dialect.name
    values = {**batch.ids_parameter(dialect, patient_ids), "after": after}
    rows = connection.execute(_newest_of(dialect), values).all()
    return {row.patient_id: row.newest for row in rows}


@cache
def _newest_of(dialect: str) -> Select[Any]:
    return (
        select(conversations.c.patient_id, func.max(conversations.c.id).label("newest"))
        .where(*_theirs_after(dialect))
        .group_by(conversations.c.patient_id)
    )


def _theirs_after(dialect: str) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of a conversation of these patients that is newer than an id."""
    patient_id: ColumnElement[int] = conversations.c.patient_id
    if dialect == "postgresql":
        # Of the ids' own type PostgreSQL looks them up in a hash table, of another one by one.
        # SmartIA has no index that this would lose.
        patient_id = cast(patient_id, BigInteger)
    return batch.is_among(dialect, patient_id), conversations.c.id > bindparam("after")


def write_interactions(connection: Connection, sent: Sequence[SentMessage]) -> None:
    """Record messages as OUTGOING templates in the caller's transaction.

    A patient without a conversation gets one in state DONE, so that the chatbot never takes
    our message for the middle of a dialogue; unless they have begun one since their
    appointment was read.
    """
    known = {m.patient_id: m.conversations.newest.get(m.patient_id) for m in sent}
    strangers = {m.patient_id: m for m in reversed(sent) if known[m.patient_id] is None}
    if strangers:
        dialect = connection.dialect.name
        after = min(_looked_until(m, dialect) for m in sent if m.patient_id in strangers)
        firsts = [strangers[patient_id] for patient_id in sorted(strangers)]
        known.update(_begin_conversations(connection, firsts, after=after))
        if others := [patient_id for patient_id in strangers if known[patient_id] is None]:
            known.update(_newest(connection, others, after=after))
    if sent:
        written = [
            {
                "conversation_id": known[message.patient_id],
                "patient_id": message.patient_id,
                "message_text": message.text,
                "provider_message_id": message.message_id,
                "created_at": stored_utc(connection, message.sent_at),
            }
            for message in sent
        ]
        dialect = connection.dialect.name
        connection.execute(_writing(dialect), _messages(dialect).parameters(written))


def _looked_until(message: SentMessage, dialect: str) -> int:
    """Return up to which id the patient surely has no conversation."""
    asked = message.conversations
    # A visit that was given to another patient since it was read: nobody was asked about.
    if message.patient_id not in asked.newest:
        return 0
    # The run itself begins many, so that on PostgreSQL an id of before may be far behind.
    return (asked.last if dialect == "sqlite" else asked.last_at_start) - _MARGIN


def stored_utc(connection: Connection, instant: datetime) -> Any:
    """Return ``instant`` as SmartIA's own defaults store it (SQLite: UTC text)."""
    if connection.dialect.name == "sqlite":
        return instant.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "seconds")
    return instant


def _begin_conversations(
    connection: Connection, firsts: Sequence[SentMessage], *, after: int
) -> Mapping[int, int]:
    """Begin one conversation for each patient who has none after an id; return ids by patient."""
    rows = [
        {"patient_id": message.patient_id, "begun_at": stored_utc(connection, message.sent_at)}
        for message in firsts
    ]
    dialect = connection.dialect.name
    values = {
        **_begun(dialect).parameters(rows),
        **batch.ids_parameter(dialect, [row["patient_id"] for row in rows]),
        "after": after,
    }
    begun = connection.execute(_beginning(dialect), values)
    return {row.patient_id: row.id for row in begun.all()}


@cache
def _messages(dialect: str) -> Batch:
    return Batch(
        dialect,
        conversation_id=interactions.c.conversation_id.type,
        patient_id=interactions.c.patient_id.type,
        message_text=interactions.c.message_text.type,
        provider_message_id=interactions.c.provider_message_id.type,
        created_at=_stamp(dialect),
    )


@cache
def _writing(dialect: str) -> Any:
    rows = _messages(dialect).table.c
    alike: dict[str, ColumnElement[str]] = {
        "type": literal_column("'OUTGOING'"),
        "message_type": literal_column("'template'"),
    }
    return insert(interactions).from_select([*rows.keys(), *alike], select(*rows, *alike.values()))


@cache
def _begun(dialect: str) -> Batch:
    return Batch(dialect, patient_id=conversations.c.patient_id.type, begun_at=_stamp(dialect))


def _stamp(dialect: str) -> TypeEngine[Any]:
    """Return the type of what :func:`stored_utc` returns."""
    return String() if dialect == "sqlite" else UtcDateTime()


@cache
def _beginning(dialect: str) -> Any:
    rows = _begun(dialect).table.c
    since = select(conversations.c.patient_id).where(*_theirs_after(dialect))
    values = select(rows.patient_id, literal_column("'DONE'"), rows.begun_at, rows.begun_at).where(
        rows.patient_id.not_in(since)
    )
    return (
        insert(conversations)
        .from_select(["patient_id", "state", "created_at", "updated_at"], values)
        .returning(conversations.c.patient_id, conversations.c.id)
    )
